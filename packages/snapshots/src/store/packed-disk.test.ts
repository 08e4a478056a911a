import { mkdtemp, open, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { packDisk, unpackDisk } from "./packed-disk.ts";

const MIB = 1024 * 1024;
let root: string;
const path = (name: string) => join(root, name);
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-disk-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** A sparse image with some bytes here and there. */
async function image(name: string, bytes: number, parts: readonly [offset: number, text: string][]) {
  const file = await open(path(name), "w+");
  await file.truncate(bytes);
  for (const [offset, text] of parts) await file.write(text, offset);
  return file;
}

async function pack(name: string, bytes: number, parts: readonly [offset: number, text: string][]) {
  await using source = await image(name, bytes, parts);
  return await packDisk(source, path(`${name}.packed`));
}

describe("packDisk() and unpackDisk()", () => {
  it("keep the contents, and neither read back nor write what is zero", async () => {
    const parts: [number, string][] = [
      [1024, "superblock"],
      [4 * MIB - 3, "across two chunks"],
      [64 * MIB - 5, "end"],
    ];
    const packed = await pack("disk", 64 * MIB, parts);
    expect(packed).toEqual({ diskBytes: 64 * MIB, dataBytes: 4 * 4096 });
    expect((await stat(path("disk.packed"))).size).toBe(4096 + 4 * 4096 + 3 * 16);
    expect(await unpackDisk(path("disk.packed"), path("clone"))).toEqual(packed);
    expect((await readFile(path("clone"))).equals(await readFile(path("disk")))).toBe(true);
    const clone = await stat(path("clone"));
    expect([clone.blocks * 512, clone.mode & 0o777]).toEqual([packed.dataBytes, 0o600]);
  });

  it("give the same bytes for the same contents, whatever was written on the way", async () => {
    await pack("one", 8 * MIB, [[5 * MIB, "data"]]);
    await using other = await image("two", 8 * MIB, [[6 * MIB, "temporary"]]);
    await other.write(Buffer.alloc(9), 0, 9, 6 * MIB);
    await other.write("data", 5 * MIB);
    await packDisk(other, path("two.packed"));
    expect((await readFile(path("two.packed"))).equals(await readFile(path("one.packed")))).toBe(true);
  });

  it("take an empty disk, one of an odd length, and one that is all data", async () => {
    for (const [name, bytes, data] of [
      ["empty", 0, ""],
      ["odd", 5000, "x".repeat(5000)],
      ["full", 3 * MIB, "y".repeat(3 * MIB)],
    ] as const) {
      await pack(name, bytes, [[0, data]]);
      await unpackDisk(path(`${name}.packed`), path(`${name}.clone`));
      expect((await readFile(path(`${name}.clone`))).equals(await readFile(path(name)))).toBe(true);
    }
  });

  it.each([
    ["cut off", (packed: string) => truncate(packed, 5000), "FIRN_SNAPSHOT_CORRUPT"],
    ["empty", (packed: string) => truncate(packed, 0), "FIRN_SNAPSHOT_CORRUPT"],
    ["another file", (packed: string) => writeFile(packed, "x".repeat(9000)), "FIRN_SNAPSHOT_CORRUPT"],
    ["of a later version", (packed: string) => poke(packed, 8, 2), "FIRN_SNAPSHOT_INCOMPATIBLE"],
    ["with more extents than it has", (packed: string) => poke(packed, 12, 9), "FIRN_SNAPSHOT_CORRUPT"],
    ["of a smaller disk", (packed: string) => poke(packed, 18, 1), "FIRN_SNAPSHOT_CORRUPT"],
    ["with a longer extent", (packed: string) => poke(packed, 8192 + 9, 0x20), "FIRN_SNAPSHOT_CORRUPT"],
  ])("refuse a packed disk that is %s", async (_, damage, code) => {
    await pack("disk", 8 * MIB, [[7 * MIB, "data"]]);
    await damage(path("disk.packed"));
    await expect(unpackDisk(path("disk.packed"), path("clone"))).rejects.toMatchObject({ code });
  });
});

async function poke(packed: string, offset: number, byte: number): Promise<void> {
  await using file = await open(packed, "r+");
  await file.write(Buffer.from([byte]), 0, 1, offset);
}
