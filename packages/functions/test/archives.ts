import { crc32, deflateRawSync } from "node:zlib";
import { Header } from "tar";

/** An entry of an archive made by hand, so that it may be as malicious as it likes. */
export interface ArchiveEntry {
  /** As bytes if it is no UTF-8; a zip never says that it is. */
  readonly name: string | Uint8Array;
  readonly contents?: string | Uint8Array;
  /** Target of a symbolic link. */
  readonly link?: string;
  /** Target of a hard link; tar only. */
  readonly hardLink?: string;
  readonly executable?: boolean;
  /** A device; tar only. */
  readonly device?: boolean;
  /** Type and permissions as Unix has them, in place of what the other fields say; zip only. */
  readonly mode?: number;
}

/** How a zip is made. */
export interface ZipOptions {
  /** The system that made it, as zip numbers them: 0 is Windows, whose zips have no modes; 3 is Unix. */
  readonly madeBy?: number;
  /** Sizes and offsets in 64 bits. */
  readonly zip64?: boolean;
  readonly compressed?: boolean;
}

/** A zip archive. */
export function zipOf(entries: readonly ArchiveEntry[], options: ZipOptions = {}): Buffer {
  const { madeBy = 3, zip64 = false, compressed = false } = options;
  const locals: Buffer[] = [];
  const centrals: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const name = Buffer.from(entry.name);
    const contents = Buffer.from(entry.link ?? entry.contents ?? "");
    const stored = compressed ? deflateRawSync(contents) : contents;
    const type = entry.link === undefined ? 0o100_000 : 0o120_000;
    const mode = entry.mode ?? type | (entry.executable ? 0o755 : 0o644);
    const large = zip64 ? sizes64(contents.length, stored.length, offset) : Buffer.alloc(0);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(zip64 ? 45 : 20, 0);
    common.writeUInt16LE(compressed ? 8 : 0, 4);
    common.writeUInt32LE(crc32(contents), 10);
    common.writeUInt32LE(zip64 ? 0xffff_ffff : stored.length, 14);
    common.writeUInt32LE(zip64 ? 0xffff_ffff : contents.length, 18);
    common.writeUInt16LE(name.length, 22);
    common.writeUInt16LE(large.length, 24);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), common, name, large, stored]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(madeBy === 0 ? 0 : (mode << 16) >>> 0, 6);
    tail.writeUInt32LE(zip64 ? 0xffff_ffff : offset, 10);
    centrals.push(
      Buffer.concat([Buffer.from("PK\x01\x02"), Buffer.from([45, madeBy]), common, tail, name, large]),
    );
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(centrals);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(zip64 ? 0xffff : entries.length, 8);
  end.writeUInt16LE(zip64 ? 0xffff : entries.length, 10);
  end.writeUInt32LE(zip64 ? 0xffff_ffff : directory.length, 12);
  end.writeUInt32LE(zip64 ? 0xffff_ffff : offset, 16);
  const end64 = zip64 ? ends64(entries.length, directory.length, offset) : Buffer.alloc(0);
  return Buffer.concat([...locals, directory, end64, end]);
}

function sizes64(size: number, stored: number, offset: number): Buffer {
  const field = Buffer.alloc(28);
  field.writeUInt16LE(1, 0);
  field.writeUInt16LE(24, 2);
  for (const [index, value] of [size, stored, offset].entries()) {
    field.writeBigUInt64LE(BigInt(value), 4 + 8 * index);
  }
  return field;
}

function ends64(entries: number, directoryBytes: number, directoryOffset: number): Buffer {
  const record = Buffer.alloc(56);
  record.write("PK\x06\x06", "latin1");
  record.writeBigUInt64LE(44n, 4);
  record.writeUInt16LE(45, 12);
  record.writeUInt16LE(45, 14);
  for (const [index, value] of [entries, entries, directoryBytes, directoryOffset].entries()) {
    record.writeBigUInt64LE(BigInt(value), 24 + 8 * index);
  }
  const locator = Buffer.alloc(20);
  locator.write("PK\x06\x07", "latin1");
  locator.writeBigUInt64LE(BigInt(directoryOffset + directoryBytes), 8);
  locator.writeUInt32LE(1, 16);
  return Buffer.concat([record, locator]);
}

/** A tar archive. */
export function tarOf(entries: readonly ArchiveEntry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const entry of entries) {
    const contents = Buffer.from(entry.contents ?? "");
    const block = Buffer.alloc(512);
    const linkpath = entry.link ?? entry.hardLink;
    new Header({
      path: String(entry.name),
      mode: entry.executable ? 0o755 : 0o644,
      size: contents.length,
      type: typeOf(entry),
      ...(linkpath === undefined ? {} : { linkpath }),
    }).encode(block);
    blocks.push(block, contents, Buffer.alloc((512 - (contents.length % 512)) % 512));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

function typeOf(entry: ArchiveEntry) {
  if (entry.link !== undefined) return "SymbolicLink";
  if (entry.hardLink !== undefined) return "Link";
  if (entry.device) return "CharacterDevice";
  return String(entry.name).endsWith("/") ? "Directory" : "File";
}
