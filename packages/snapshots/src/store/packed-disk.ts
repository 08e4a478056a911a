import { writeSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { SnapshotError } from "../errors.ts";
import { createPrivately } from "./durable-file.ts";

// Header: magic, version (u32), number of extents (u32), bytes of the disk (u64), position of the table (u64). Then the extents' data, one
// after the other, from DATA_START on; then the table: offset on the disk (u64) and length (u64) of each. All little-endian.
const MAGIC = Buffer.from("FIRNDSK\0", "latin1");
const VERSION = 1;
const HEADER_BYTES = 32;
const DATA_START = 4096;
const ENTRY_BYTES = 16;

/** Data is told from zeros in pieces of this many bytes, the block of the disk's file system. */
const BLOCK_BYTES = 4096;
const CHUNK_BYTES = 1024 * 1024;
const MAX_EXTENTS = 1024 * 1024;
const MAX_DISK_BYTES = 2 ** 46;

interface Extent {
  readonly offset: number;
  length: number;
}

/** How much a disk holds. */
export interface PackedDisk {
  readonly diskBytes: number;
  /** Without zeros. */
  readonly dataBytes: number;
}

/**
 * Writes what is not zero in a disk image into a new file: the same contents always give the same bytes.
 *
 * @param target Nothing may be there yet. Removing what is left of it after an error is the caller's.
 */
export async function packDisk(source: FileHandle, target: string): Promise<PackedDisk> {
  const { size: diskBytes } = await source.stat();
  const file = await createPrivately(target);
  try {
    const extents: Extent[] = [];
    const zeros = Buffer.alloc(CHUNK_BYTES);
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    let position = DATA_START;
    for (let offset = 0; offset < diskBytes; ) {
      const { bytesRead } = await source.read(chunk, 0, CHUNK_BYTES, offset);
      if (bytesRead === 0) throw new Error("The disk image became shorter while it was read.");
      if (!chunk.subarray(0, bytesRead).equals(zeros.subarray(0, bytesRead))) {
        for (const { start, end } of dataIn(chunk.subarray(0, bytesRead), zeros)) {
          note(extents, offset + start, end - start);
          writeAll(file, chunk.subarray(start, end), position);
          position += end - start;
        }
      }
      offset += bytesRead;
    }
    writeAll(file, tableOf(extents), position);
    writeAll(file, headerOf(extents.length, diskBytes, position), 0);
    return { diskBytes, dataBytes: position - DATA_START };
  } finally {
    await file.close();
  }
}

/**
 * Makes a disk image of a packed one: a sparse file, into which nothing but data is written.
 *
 * @param target Nothing may be there yet. Removing what is left of it after an error is the caller's.
 * @throws {SnapshotError} FIRN_SNAPSHOT_CORRUPT.
 */
export async function unpackDisk(packed: string, target: string): Promise<PackedDisk> {
  const source = await open(packed, "r");
  try {
    const { diskBytes, extents, dataBytes } = await readTable(source, packed);
    const file = await createPrivately(target);
    try {
      await file.truncate(diskBytes);
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, dataBytes));
      const pieces = piecesOf(extents);
      let piece = pieces.next();
      for (let done = 0; done < dataBytes; ) {
        const wanted = Math.min(chunk.length, dataBytes - done);
        await readFully(source, chunk.subarray(0, wanted), DATA_START + done, packed);
        for (let used = 0; used < wanted; ) {
          if (piece.done) throw corrupt(packed, "it has more data than extents");
          const { offset, length } = piece.value;
          const count = Math.min(length, wanted - used);
          writeAll(file, chunk.subarray(used, used + count), offset);
          used += count;
          piece =
            count === length ? pieces.next() : { value: { offset: offset + count, length: length - count } };
        }
        done += wanted;
      }
      return { diskBytes, dataBytes };
    } finally {
      await file.close();
    }
  } finally {
    await source.close();
  }
}

/** The runs of blocks that are not zero, in bytes. */
function* dataIn(chunk: Buffer, zeros: Buffer): Generator<{ start: number; end: number }> {
  let start: number | undefined;
  for (let at = 0; at < chunk.length; at += BLOCK_BYTES) {
    const end = Math.min(at + BLOCK_BYTES, chunk.length);
    const isZero = chunk.subarray(at, end).equals(zeros.subarray(0, end - at));
    if (isZero && start !== undefined) {
      yield { start, end: at };
      start = undefined;
    } else if (!isZero) {
      start ??= at;
    }
  }
  if (start !== undefined) yield { start, end: chunk.length };
}

function note(extents: Extent[], offset: number, length: number): void {
  const last = extents.at(-1);
  if (last !== undefined && last.offset + last.length === offset) last.length += length;
  else extents.push({ offset, length });
}

function* piecesOf(extents: readonly Extent[]): Generator<Extent, undefined> {
  yield* extents;
}

function headerOf(count: number, diskBytes: number, tableStart: number): Buffer {
  const header = Buffer.alloc(DATA_START);
  MAGIC.copy(header);
  header.writeUInt32LE(VERSION, 8);
  header.writeUInt32LE(count, 12);
  header.writeBigUInt64LE(BigInt(diskBytes), 16);
  header.writeBigUInt64LE(BigInt(tableStart), 24);
  return header;
}

function tableOf(extents: readonly Extent[]): Buffer {
  const table = Buffer.alloc(extents.length * ENTRY_BYTES);
  extents.forEach(({ offset, length }, index) => {
    table.writeBigUInt64LE(BigInt(offset), index * ENTRY_BYTES);
    table.writeBigUInt64LE(BigInt(length), index * ENTRY_BYTES + 8);
  });
  return table;
}

/** Reads the extents, and checks that they fit the disk and the file: nothing else is trusted afterwards. */
async function readTable(source: FileHandle, path: string): Promise<PackedDisk & { extents: Extent[] }> {
  const { size } = await source.stat();
  const header = Buffer.alloc(HEADER_BYTES);
  await readFully(source, header, 0, path);
  if (!header.subarray(0, MAGIC.length).equals(MAGIC)) throw corrupt(path, "it is no packed disk");
  const version = header.readUInt32LE(8);
  if (version !== VERSION) {
    const message = `The packed disk ${path} has version ${version}, this program reads version ${VERSION}. Make the snapshot again.`;
    throw new SnapshotError("FIRN_SNAPSHOT_INCOMPATIBLE", message);
  }
  const count = header.readUInt32LE(12);
  const diskBytes = Number(header.readBigUInt64LE(16));
  const tableStart = Number(header.readBigUInt64LE(24));
  const fits = count <= MAX_EXTENTS && diskBytes <= MAX_DISK_BYTES && tableStart >= DATA_START;
  if (!fits || tableStart + count * ENTRY_BYTES !== size) {
    throw corrupt(path, "its header does not fit its length");
  }
  const table = Buffer.alloc(count * ENTRY_BYTES);
  await readFully(source, table, tableStart, path);
  const extents: Extent[] = [];
  let [end, dataBytes] = [0, 0];
  for (let at = 0; at < table.length; at += ENTRY_BYTES) {
    const offset = Number(table.readBigUInt64LE(at));
    const length = Number(table.readBigUInt64LE(at + 8));
    if (offset < end || length === 0 || offset + length > diskBytes) {
      throw corrupt(path, "an extent lies outside of the disk or on another");
    }
    extents.push({ offset, length });
    end = offset + length;
    dataBytes += length;
  }
  if (DATA_START + dataBytes !== tableStart) throw corrupt(path, "its extents do not fit its data");
  return { diskBytes, dataBytes, extents };
}

/** Writes at once: the page cache takes it, and a turn of the event loop for each extent would cost more. */
function writeAll(file: FileHandle, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(file.fd, bytes, done, bytes.length - done, position + done);
  }
}

async function readFully(source: FileHandle, into: Buffer, position: number, path: string): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await source.read(into, done, into.length - done, position + done);
    if (bytesRead === 0) throw corrupt(path, "it ends too early");
    done += bytesRead;
  }
}

function corrupt(path: string, why: string): SnapshotError {
  return new SnapshotError(
    "FIRN_SNAPSHOT_CORRUPT",
    `The packed disk ${path} cannot be used: ${why}. Make the snapshot again.`,
  );
}
