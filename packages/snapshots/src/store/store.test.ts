import { execFile } from "node:child_process";
import { chmod, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exampleConfig, publishExample } from "../../test/snapshots.ts";
import { MEDIA_TYPE } from "./media-types.ts";
import { type PublishStep, Store } from "./store.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-store-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const bytes = (text: string) => new TextEncoder().encode(text);

async function chainOfTwo(store: Store) {
  const app = await store.blobs.add(bytes("app image"), MEDIA_TYPE.app);
  const base = await publishExample(store, "base memory");
  const config = exampleConfig({ kind: "diff", parent: base.digest, appImage: app.digest });
  return { app, base, diff: await publishExample(store, "diff memory", config, app) };
}

async function damage(path: string, change: () => Promise<unknown>) {
  await chmod(path, 0o644);
  await change();
}

describe("Store", () => {
  it("locates a published chain when it is opened again, base first", async () => {
    const { diff, base, app } = await chainOfTwo(await Store.open(root));
    const store = await Store.open(root);
    const located = await store.locate(diff.digest);
    expect(located.chain.map(({ digest }) => digest)).toEqual([base.digest, diff.digest]);
    expect(located.layers.map(({ digest }) => digest)).toEqual([base.memory.digest, diff.memory.digest]);
    expect(await readFile(located.layers[1]?.path ?? "", "utf8")).toBe("diff memory");
    expect(located.appDisk?.digest).toBe(app.digest);
    await store.verify(diff.digest);
    expect((await store.list()).map(({ digest }) => digest)).toEqual([base.digest, diff.digest]);
  });

  it("puts a snapshot with a working set in the place of the one without", async () => {
    const store = await Store.open(root);
    const { base, diff, app } = await chainOfTwo(store);
    const path = store.temporaryPath("working-set");
    await writeFile(path, "ranges");
    const complete = await store.addWorkingSet(diff, path);
    expect(complete).toMatchObject({ config: diff.config, memory: diff.memory, state: diff.state, app });
    expect((await store.list()).map(({ digest }) => digest)).toEqual([base.digest, complete.digest]);
    const located = await (await Store.open(root)).locate(complete.digest);
    expect(await readFile(located.workingSetPath ?? "", "utf8")).toBe("ranges");
    await store.collectGarbage();
    await store.verify(complete.digest);
    await expect(store.locate(diff.digest)).rejects.toMatchObject({ code: "FIRN_SNAPSHOT_MISSING" });
    await rm(located.workingSetPath ?? "");
    await expect(store.locate(complete.digest)).rejects.toMatchObject({ code: "FIRN_SNAPSHOT_MISSING" });
  });

  it("is an OCI image layout", async () => {
    const { base } = await chainOfTwo(await Store.open(root));
    expect(JSON.parse(await readFile(join(root, "oci-layout"), "utf8"))).toEqual({
      imageLayoutVersion: "1.0.0",
    });
    const index = JSON.parse(await readFile(join(root, "index.json"), "utf8"));
    expect(index.schemaVersion).toBe(2);
    expect(index.manifests[0]).toEqual({
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      digest: base.digest,
      size: expect.any(Number),
    });
  });

  it("names a truncated layer when it is located", async () => {
    const store = await Store.open(root);
    const { diff } = await chainOfTwo(store);
    const path = store.blobs.pathOf(diff.memory.digest);
    await damage(path, () => truncate(path, 3));
    await expect(store.locate(diff.digest)).rejects.toMatchObject({
      code: "FIRN_SNAPSHOT_CORRUPT",
      message: expect.stringContaining("3 bytes instead of 11"),
    });
  });

  it("names a missing parent layer when the diff is located", async () => {
    const store = await Store.open(root);
    const { diff, base } = await chainOfTwo(store);
    await store.blobs.remove(base.memory.digest);
    await expect(store.locate(diff.digest)).rejects.toMatchObject({
      code: "FIRN_SNAPSHOT_MISSING",
      message: expect.stringContaining(base.memory.digest),
    });
  });

  it("finds changed bytes of the same length when it verifies, not when it locates", async () => {
    const store = await Store.open(root);
    const { diff, base } = await chainOfTwo(store);
    const path = store.blobs.pathOf(base.memory.digest);
    await damage(path, () => writeFile(path, "BASE memory"));
    await store.locate(diff.digest);
    await expect(store.verify(diff.digest)).rejects.toMatchObject({ code: "FIRN_SNAPSHOT_CORRUPT" });
    expect(await store.isDamaged(diff.digest)).toBe(true);
  });

  it("refuses a forged manifest, when it is opened and when it verifies", async () => {
    const store = await Store.open(root);
    const { diff } = await chainOfTwo(store);
    const path = store.blobs.pathOf(diff.digest);
    await damage(path, async () => writeFile(path, (await readFile(path, "utf8")).replace("11", "12")));
    expect(await store.isDamaged(diff.digest)).toBe(true);
    const reopened = await Store.open(root);
    await expect(reopened.locate(diff.digest)).rejects.toMatchObject({ code: "FIRN_SNAPSHOT_CORRUPT" });
    expect(await reopened.list()).toHaveLength(1);
  });

  it("heals a damaged blob when the same is added again", async () => {
    const store = await Store.open(root);
    const { diff, app } = await chainOfTwo(store);
    const path = store.blobs.pathOf(app.digest);
    await damage(path, () => truncate(path, 0));
    await store.blobs.add(bytes("app image"), MEDIA_TYPE.app);
    await store.verify(diff.digest);
  });

  it("refuses a diff without its parent, and leaves no file behind", async () => {
    const store = await Store.open(root);
    const parent = `sha256:${"0".repeat(64)}` as const;
    const config = exampleConfig({ kind: "diff", parent, appImage: null });
    await expect(publishExample(store, "orphan", config)).rejects.toMatchObject({
      code: "FIRN_SNAPSHOT_MISSING",
    });
    expect(await readdir(join(root, "tmp"))).toEqual([]);
    expect(await store.blobs.list()).toEqual([]);
  });

  it("counts a blob once, and a chain without its app image", async () => {
    const store = await Store.open(root);
    const { diff, base, app } = await chainOfTwo(store);
    const distinct = new Map([...base.blobs, ...diff.blobs].map(({ digest, size }) => [digest, size]));
    const sum = [...distinct.values()].reduce((total, size) => total + size, 0);
    expect(await store.sizeBytes()).toBe(sum);
    expect(await store.chainBytes(diff.digest)).toBe(sum - app.size);
  });

  it("keeps what a diff needs when garbage is collected, though its base has left the index", async () => {
    const store = await Store.open(root);
    const { diff, base } = await chainOfTwo(store);
    await store.remove(base.digest);
    await store.blobs.add(bytes("nobody's"), MEDIA_TYPE.app);
    expect(await store.collectGarbage()).toBe("nobody's".length);
    await store.verify(diff.digest);
    await store.remove(diff.digest);
    await store.collectGarbage();
    expect(await store.sizeBytes()).toBe(0);
  });

  it("removes no blob that is being added while garbage is collected", async () => {
    const store = await Store.open(root);
    const { diff } = await chainOfTwo(store);
    const collected: Promise<number>[] = [];
    const publishing = Promise.all(
      ["one", "two", "three"].map((memory) => {
        collected.push(store.collectGarbage());
        return publishExample(store, memory);
      }),
    );
    const published = await publishing;
    await Promise.all(collected);
    for (const { digest } of [...published, diff]) await store.verify(digest);
    expect(await store.list()).toHaveLength(5);
  });

  it("refuses a folder of another layout version", async () => {
    await writeFile(join(root, "oci-layout"), '{"imageLayoutVersion":"2.0.0"}');
    await expect(Store.open(root)).rejects.toMatchObject({ code: "FIRN_STORE_FORMAT" });
  });

  it("refuses a malformed index with a sentence that says what to do", async () => {
    await writeFile(join(root, "index.json"), "{");
    await expect(Store.open(root)).rejects.toMatchObject({
      code: "FIRN_STORE_FORMAT",
      message: expect.stringContaining("Remove it"),
    });
  });
});

describe("Store after its process was killed while it published", () => {
  const steps: PublishStep[] = ["start", "memory", "state", "config", "manifest", "index"];
  it.each(steps)("after step %s holds what was published, and no leftovers", async (step) => {
    const script = new URL("../../test/publish-and-die.ts", import.meta.url).pathname;
    const child = await new Promise<{ signal: NodeJS.Signals | null; stderr: string }>((resolve) => {
      const args = ["--conditions=firn-source", script, root, step];
      execFile(process.execPath, args, (error, _, stderr) =>
        resolve({ signal: error?.signal ?? null, stderr }),
      );
    });
    expect(child).toMatchObject({ signal: "SIGKILL" });
    const store = await Store.open(root);
    expect(await readdir(join(root, "tmp"))).toEqual([]);
    const snapshots = await store.list();
    expect(snapshots.map(({ config }) => config.kind)).toEqual(
      step === "index" ? ["base", "diff"] : ["base"],
    );
    await store.collectGarbage();
    for (const { digest } of snapshots) await store.verify(digest);
    const needed = new Set(snapshots.flatMap(({ blobs }) => blobs.map(({ digest }) => digest)));
    expect(new Set((await store.blobs.list()).map(({ digest }) => digest))).toEqual(needed);
    const [base] = snapshots;
    const config = exampleConfig({ kind: "diff", parent: base?.digest ?? null, appImage: null });
    await store.verify((await publishExample(store, "another diff", config)).digest);
  });
});
