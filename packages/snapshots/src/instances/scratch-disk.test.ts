import { mkdtemp, open, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Store } from "../store/store.ts";
import { ScratchDisk } from "./scratch-disk.ts";
import { ScratchTemplates } from "./scratch-templates.ts";

let root: string;
let store: Store;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-scratch-"));
  store = await Store.open(join(root, "store"));
});
afterEach(async () => {
  store.close();
  await rm(root, { recursive: true, force: true });
});

async function template(): Promise<string> {
  const path = join(root, "scratch.ext4");
  await using file = await open(path, "w");
  await file.truncate(16 << 20);
  await file.write("superblock", 1024);
  return path;
}

describe("ScratchDisk", () => {
  it("is a copy for each microVM, which has no name once it is handed over", async () => {
    const templates = new ScratchTemplates(store);
    const image = await template();
    const packed = await templates.packed(image);
    expect(await templates.packed(image)).toBe(packed);
    await using one = await ScratchDisk.make(store, packed, { keepOpen: true });
    await using other = await ScratchDisk.make(store, packed, { keepOpen: false });
    expect(one.copiedBytes).toBe(4096);
    await using guest = await open(one.path, "r+");
    await guest.write("of one alone", 8 << 20);
    expect((await readFile(other.path)).equals(await readFile(image))).toBe(true);
    await one.handedOver();
    await other.handedOver();
    expect(await readdir(join(root, "store", "tmp"))).toEqual([]);
    const snapshot = await one.pack(store);
    await using clone = await ScratchDisk.make(store, snapshot, { keepOpen: false });
    expect((await readFile(clone.path)).toString("latin1", 8 << 20, (8 << 20) + 12)).toBe("of one alone");
    await expect(other.pack(store)).rejects.toThrow("kept open");
    templates.close();
  });

  it("says which template is missing", async () => {
    await expect(new ScratchTemplates(store).packed(join(root, "none"))).rejects.toMatchObject({
      code: "FIRN_FILE_MISSING",
    });
  });
});
