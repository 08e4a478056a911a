import { readFile } from "node:fs/promises";
import type { WorkingSetReport } from "@firn/vmm";
import { SnapshotError } from "../errors.ts";

const MAGIC = "FIRNWSET";
const VERSION = 1;
const HEADER_BYTES = 64;
const RANGE_BYTES = 16;
/** Where it stands how many ranges are written; the others are only read. */
const WRITTEN_COUNT_AT = 12;

/**
 * How much memory a working set names.
 *
 * @param path A file as the VMM writes it; `docs/formats.md` says how.
 * @throws {SnapshotError} FIRN_SNAPSHOT_CORRUPT if it is no working set of a version that is known.
 */
export async function describeWorkingSet(path: string): Promise<WorkingSetReport> {
  const bytes = await readFile(path);
  const tables = bytes.length - HEADER_BYTES;
  const isKnown =
    tables >= 0 &&
    tables % RANGE_BYTES === 0 &&
    bytes.toString("latin1", 0, MAGIC.length) === MAGIC &&
    bytes.readUInt32LE(MAGIC.length) === VERSION;
  if (!isKnown) {
    throw new SnapshotError("FIRN_SNAPSHOT_CORRUPT", `${path} is no working set of version ${VERSION}.`);
  }
  const lengths = Array.from({ length: tables / RANGE_BYTES }, (_, index) =>
    Number(bytes.readBigUInt64LE(HEADER_BYTES + index * RANGE_BYTES + RANGE_BYTES / 2)),
  );
  const written = bytes.readUInt32LE(WRITTEN_COUNT_AT);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  return {
    writtenBytes: sum(lengths.slice(0, written)),
    readBytes: sum(lengths.slice(written)),
    ranges: lengths.length,
  };
}
