import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { describeWorkingSet } from "./working-set.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "firn-working-set-"));
});
afterEach(() => rm(folder, { recursive: true }));

async function fileOf(hexadecimal: string): Promise<string> {
  const path = join(folder, "set");
  await writeFile(path, Buffer.from(hexadecimal, "hex"));
  return path;
}

// The bytes that the VMM's own test of the encoding has: two ranges that are written, and one that is only read.
const GOLDEN = [
  ...["4649524e57534554", "0100000002000000", "69897ab9884c1b12", "0000200000000000", "07".repeat(32)],
  ...["0010000000000000", "0020000000000000", "0080000000000000", "0010000000000000"],
  ...["0040000000000000", "0010000000000000"],
].join("");

it("tells what a working set names", async () => {
  const report = { writtenBytes: 0x3000, readBytes: 0x1000, ranges: 3 };
  expect(await describeWorkingSet(await fileOf(GOLDEN))).toEqual(report);
});

it.each([
  ["", "nothing"],
  ["00", "another magic"],
  [GOLDEN.replace("0100000002", "0200000002"), "another version"],
  [GOLDEN.slice(0, -2), "half a range"],
])("refuses %#: %s", async (bytes) => {
  await expect(describeWorkingSet(await fileOf(bytes))).rejects.toMatchObject({
    code: "FIRN_SNAPSHOT_CORRUPT",
  });
});
