import { crc32 } from "node:zlib";
import { Header } from "tar";

/** An entry of an archive made by hand, so that it may be as malicious as it likes. */
export interface ArchiveEntry {
  readonly name: string;
  readonly contents?: string | Uint8Array;
  /** Target of a symbolic link. */
  readonly link?: string;
  /** Target of a hard link; tar only. */
  readonly hardLink?: string;
  readonly executable?: boolean;
  /** A device; tar only. */
  readonly device?: boolean;
}

/** A zip archive with stored entries and Unix modes. */
export function zipOf(entries: readonly ArchiveEntry[]): Buffer {
  const locals: Buffer[] = [];
  const centrals: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const name = Buffer.from(entry.name);
    const contents = Buffer.from(entry.link ?? entry.contents ?? "");
    const type = entry.link === undefined ? 0o100_000 : 0o120_000;
    const mode = type | (entry.executable ? 0o755 : 0o644);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(contents), 10);
    common.writeUInt32LE(contents.length, 14);
    common.writeUInt32LE(contents.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), common, name, contents]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE((mode << 16) >>> 0, 6);
    tail.writeUInt32LE(offset, 10);
    centrals.push(Buffer.concat([Buffer.from("PK\x01\x02"), Buffer.from([20, 3]), common, tail, name]));
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(centrals);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, directory, end]);
}

/** A tar archive. */
export function tarOf(entries: readonly ArchiveEntry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const entry of entries) {
    const contents = Buffer.from(entry.contents ?? "");
    const block = Buffer.alloc(512);
    const linkpath = entry.link ?? entry.hardLink;
    new Header({
      path: entry.name,
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
  return entry.name.endsWith("/") ? "Directory" : "File";
}
