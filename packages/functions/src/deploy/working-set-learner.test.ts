import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWorkingSet, type MissesOptions, type SnapshotManifest, Store } from "@firn/snapshots";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { publishExample } from "../../../snapshots/test/snapshots.ts";
import { MAX_STARTS } from "./learning-rule.ts";
import { WorkingSetLearner } from "./working-set-learner.ts";

const PAGE = 4096;

/** A working set file in which so many pages are written, each a range. */
function encode(pages: readonly number[]): Buffer {
  const header = Buffer.alloc(64);
  header.write("FIRNWSET", "latin1");
  header.writeUInt32LE(1, 8);
  header.writeUInt32LE(pages.length, 12);
  const ranges = pages.map((page) => {
    const range = Buffer.alloc(16);
    range.writeBigUInt64LE(BigInt(page * PAGE), 0);
    range.writeBigUInt64LE(BigInt(PAGE), 8);
    return range;
  });
  return Buffer.concat([header, ...ranges]);
}

async function pagesIn(path: string): Promise<number[]> {
  const bytes = await readFile(path);
  const count = (bytes.length - 64) / 16;
  return Array.from({ length: count }, (_, index) => Number(bytes.readBigUInt64LE(64 + 16 * index)) / PAGE);
}

/** Does what a VMM does that has had these pages written. */
const clone = (...missed: number[]) => ({
  async recordMisses({ path, learn }: MissesOptions) {
    let pages = missed;
    if (learn !== undefined) {
      const [known, previous] = [await pagesIn(learn.workingSetPath), await pagesIn(learn.previousPath)];
      const both = missed.filter((page) => previous.includes(page));
      pages = [...new Set([...known, ...both])].sort((one, other) => one - other);
    }
    await writeFile(path, encode(pages));
    return describeWorkingSet(path);
  },
});

let root: string;
let store: Store;
let learner: WorkingSetLearner;
let manifest: SnapshotManifest;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-learner-"));
  store = await Store.open(join(root, "store"), { catalog: () => ({ snapshots: [manifest.digest] }) });
  learner = new WorkingSetLearner(store);
  manifest = await publishExample(store, "memory");
  const path = store.temporaryPath("working-set");
  await writeFile(path, encode([1, 2]));
  await store.addWorkingSet(manifest, path);
});
afterEach(async () => {
  await learner.close();
  store.close();
  await rm(root, { recursive: true, force: true });
});

const learn = async (...missed: number[]) =>
  learner.learn(await store.locate(manifest.digest), clone(...missed));
const known = async () => pagesIn((await store.locate(manifest.digest)).workingSetPath as string);
const temporaryFiles = () => readdir(join(root, "store", "tmp"));

describe("WorkingSetLearner", () => {
  it("adds what two starts in a row have missed, and not what one alone has", async () => {
    expect(await learn(5, 6, 90)).toBeUndefined();
    expect(await known()).toEqual([1, 2]);
    const bytes = (pages: number) => pages * PAGE;
    expect(await learn(5, 6, 91)).toEqual({ starts: 2, addedBytes: bytes(2), totalBytes: bytes(4) });
    expect(await known()).toEqual([1, 2, 5, 6]);
    expect(await learn(7, 91)).toMatchObject({ starts: 3, addedBytes: bytes(1) });
    expect(await known()).toEqual([1, 2, 5, 6, 91]);
    await expect(store.list()).resolves.toEqual([manifest]);
  });

  it("merges starts that answer at the same time, which did not know of each other", async () => {
    const started = await store.locate(manifest.digest);
    const starts = [[5, 6], [5, 6, 7], [6, 7], [7, 8], [8]];
    await Promise.all(starts.map((missed) => learner.learn(started, clone(...missed))));
    expect(await known()).toEqual([1, 2, 5, 6, 7, 8]);
  });

  it("looks at ten starts at most, and at fewer if they add little", async () => {
    let calls = 0;
    const counting = (...missed: number[]) => {
      const { recordMisses } = clone(...missed);
      return {
        recordMisses: (options: MissesOptions) => {
          if (options.learn === undefined) calls += 1;
          return recordMisses(options);
        },
      };
    };
    const started = await store.locate(manifest.digest);
    for (let start = 0; start < 15; start += 1) await learner.learn(started, counting(50));
    expect(calls).toBe(4);
    expect(await known()).toEqual([1, 2, 50]);
    const again = new WorkingSetLearner(store);
    for (let start = 0; start < 15; start += 1)
      await again.learn(started, counting(100 + start, 101 + start));
    expect(calls).toBe(4 + MAX_STARTS);
    await again.close();
    expect(await temporaryFiles()).toEqual([]);
  });

  it("goes on in another program with what is in the store", async () => {
    await learn(5);
    await learn(5);
    await learner.close();
    learner = new WorkingSetLearner(store);
    await learn(6);
    expect(await known()).toEqual([1, 2, 5]);
    await learn(6);
    expect(await known()).toEqual([1, 2, 5, 6]);
  });

  it("leaves the working set as it is if the instance is gone, and learns from the next", async () => {
    const gone = { recordMisses: () => Promise.reject(new Error("gone")) };
    await learn(5);
    await expect(learner.learn(await store.locate(manifest.digest), gone)).rejects.toThrow("gone");
    await learn(5);
    expect(await known()).toEqual([1, 2, 5]);
  });

  it("keeps the working set that a start may be about to open, until the next is there", async () => {
    const before = (await store.locate(manifest.digest)).workingSetPath as string;
    await learn(5);
    await learn(5, 6);
    await store.collectGarbage();
    expect(await pagesIn(before)).toEqual([1, 2]);
    const between = (await store.locate(manifest.digest)).workingSetPath as string;
    await learn(6);
    await store.collectGarbage();
    await expect(readFile(before)).rejects.toMatchObject({ code: "ENOENT" });
    expect(await pagesIn(between)).toEqual([1, 2, 5]);
  });

  it("learns nothing of a snapshot that is gone", async () => {
    const started = await store.locate(manifest.digest);
    await learn(5);
    await store.remove(manifest.digest);
    await expect(learner.learn(started, clone(5))).rejects.toMatchObject({ code: "FIRN_SNAPSHOT_MISSING" });
    await learner.close();
    expect(await temporaryFiles()).toEqual([]);
  });
});
