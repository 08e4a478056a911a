import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { digestOfText, exampleConfig, publishExample } from "../../test/snapshots.ts";
import { MEDIA_TYPE } from "./media-types.ts";
import { type PublishStep, Store, type StoreOptions } from "./store.ts";

let root: string;
let opened: Store | undefined;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-store-"));
});
afterEach(async () => {
  opened?.close();
  await rm(root, { recursive: true, force: true });
});

/** The store, as a process finds it that opens it after the former one. */
async function open(options: StoreOptions = {}): Promise<Store> {
  opened?.close();
  opened = await Store.open(root, options);
  return opened;
}

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
    const { diff, base, app } = await chainOfTwo(await open());
    const store = await open();
    const located = await store.locate(diff.digest);
    expect(located.chain.map(({ digest }) => digest)).toEqual([base.digest, diff.digest]);
    expect(located.layers.map(({ digest }) => digest)).toEqual([base.memory.digest, diff.memory.digest]);
    expect(await readFile(located.layers[1]?.path ?? "", "utf8")).toBe("diff memory");
    expect(located.appDisk?.digest).toBe(app.digest);
    await store.verify(diff.digest);
    expect((await store.list()).map(({ digest }) => digest)).toEqual([base.digest, diff.digest]);
  });

  it("keeps a snapshot's name when it gets a working set, and another one", async () => {
    const store = await open();
    const { base, diff } = await chainOfTwo(store);
    for (const ranges of ["ranges", "others"]) {
      const path = store.temporaryPath("working-set");
      await writeFile(path, ranges);
      await store.addWorkingSet(diff, path);
    }
    expect((await store.list()).map(({ digest }) => digest)).toEqual([base.digest, diff.digest]);
    const reopened = await open({ catalog: () => ({ snapshots: [diff.digest] }) });
    expect(await reopened.referrers(diff.digest)).toHaveLength(1);
    await reopened.collectGarbage();
    await reopened.verify(diff.digest);
    const { workingSetPath = "" } = await reopened.locate(diff.digest);
    expect(await readFile(workingSetPath, "utf8")).toBe("others");
    await rm(workingSetPath);
    expect(await reopened.locate(diff.digest)).not.toHaveProperty("workingSetPath");
  });

  it("publishes a working set as an OCI referrer", async () => {
    const store = await open();
    const { diff } = await chainOfTwo(store);
    const path = store.temporaryPath("working-set");
    await writeFile(path, "ranges");
    const { digest } = await store.addWorkingSet(diff, path);
    expect(JSON.parse(await readFile(store.blobs.pathOf(digest), "utf8"))).toEqual({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      artifactType: MEDIA_TYPE.workingSet,
      config: { mediaType: MEDIA_TYPE.empty, digest: digestOfText("{}"), size: 2 },
      layers: [{ mediaType: MEDIA_TYPE.workingSet, digest: digestOfText("ranges"), size: 6 }],
      subject: { mediaType: MEDIA_TYPE.manifest, digest: diff.digest, size: expect.any(Number) },
    });
  });

  it("gives snapshots of the same inputs one name, and tells when they were taken beside it", async () => {
    const store = await open();
    const [first, second] = [await publishExample(store, "memory"), await publishExample(store, "memory")];
    expect(second.digest).toBe(first.digest);
    expect(await store.list()).toHaveLength(1);
    const { created, report } = store.describe(first.digest);
    expect(Date.parse(created)).toBeGreaterThan(0);
    expect(report).toEqual({ dataBytes: 4096, microseconds: 12 });
  });

  it("is an OCI image layout", async () => {
    const { base } = await chainOfTwo(await open());
    expect(JSON.parse(await readFile(join(root, "oci-layout"), "utf8"))).toEqual({
      imageLayoutVersion: "1.0.0",
    });
    const index = JSON.parse(await readFile(join(root, "index.json"), "utf8"));
    expect(index.schemaVersion).toBe(2);
    expect(index.manifests[0]).toEqual({
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      artifactType: "application/vnd.firn.snapshot.v1",
      digest: base.digest,
      size: expect.any(Number),
      annotations: {
        "org.opencontainers.image.created": expect.any(String),
        "vnd.firn.snapshot.report": '{"dataBytes":4096,"microseconds":12}',
      },
    });
  });

  it("names a truncated layer when it is located", async () => {
    const store = await open();
    const { diff } = await chainOfTwo(store);
    const path = store.blobs.pathOf(diff.memory.digest);
    await damage(path, () => truncate(path, 3));
    await expect(store.locate(diff.digest)).rejects.toMatchObject({
      code: "FIRN_SNAPSHOT_CORRUPT",
      message: expect.stringContaining("3 bytes instead of 11"),
    });
  });

  it("names a missing parent layer when the diff is located", async () => {
    const store = await open();
    const { diff, base } = await chainOfTwo(store);
    await store.blobs.remove(base.memory.digest);
    await expect(store.locate(diff.digest)).rejects.toMatchObject({
      code: "FIRN_SNAPSHOT_MISSING",
      message: expect.stringContaining(base.memory.digest),
    });
  });

  it("finds changed bytes of the same length when it verifies, not when it locates", async () => {
    const store = await open();
    const { diff, base } = await chainOfTwo(store);
    const path = store.blobs.pathOf(base.memory.digest);
    await damage(path, () => writeFile(path, "BASE memory"));
    await store.locate(diff.digest);
    await expect(store.verify(diff.digest)).rejects.toMatchObject({ code: "FIRN_SNAPSHOT_CORRUPT" });
    expect(await store.isDamaged(diff.digest)).toBe(true);
  });

  it("refuses a forged manifest, when it is opened and when it verifies", async () => {
    const store = await open();
    const { diff } = await chainOfTwo(store);
    const path = store.blobs.pathOf(diff.digest);
    await damage(path, async () => writeFile(path, (await readFile(path, "utf8")).replace("11", "12")));
    expect(await store.isDamaged(diff.digest)).toBe(true);
    const reopened = await open();
    await expect(reopened.locate(diff.digest)).rejects.toMatchObject({ code: "FIRN_SNAPSHOT_CORRUPT" });
    expect(await reopened.list()).toHaveLength(1);
  });

  it("heals a damaged blob when the same is added again", async () => {
    const store = await open();
    const { diff, app } = await chainOfTwo(store);
    const path = store.blobs.pathOf(app.digest);
    await damage(path, () => truncate(path, 0));
    await store.blobs.add(bytes("app image"), MEDIA_TYPE.app);
    await store.verify(diff.digest);
  });

  it("refuses a diff without its parent, and leaves no file behind", async () => {
    const store = await open();
    const parent = `sha256:${"0".repeat(64)}` as const;
    const config = exampleConfig({ kind: "diff", parent, appImage: null });
    await expect(publishExample(store, "orphan", config)).rejects.toMatchObject({
      code: "FIRN_SNAPSHOT_MISSING",
    });
    expect(await readdir(join(root, "tmp"))).toEqual([]);
    expect(await store.blobs.list()).toEqual([]);
  });

  it("counts a blob once, and a chain without its app image", async () => {
    const store = await open();
    const { diff, base, app } = await chainOfTwo(store);
    const distinct = new Map([...base.blobs, ...diff.blobs].map(({ digest, size }) => [digest, size]));
    const sum = [...distinct.values()].reduce((total, size) => total + size, 0);
    expect(await store.sizeBytes()).toBe(sum);
    expect(await store.chainBytes(diff.digest)).toBe(sum - app.size);
  });

  it("is opened by one process at a time", async () => {
    await open();
    await expect(Store.open(root)).rejects.toMatchObject({ code: "FIRN_STORE_IN_USE" });
    const script = `const { Store } = await import(${JSON.stringify(new URL("./store.ts", import.meta.url).href)});
      await Store.open(${JSON.stringify(root)}).catch((error) => console.log(error.code));`;
    const args = ["--conditions=firn-source", "--input-type=module", "--eval", script];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    expect(stdout).toBe("FIRN_STORE_IN_USE\n");
  });

  it("removes what a process left in tmp, though that had the id that this one has", async () => {
    await open();
    const left = ["1-memory", `${process.pid}-0-app`];
    await mkdir(join(root, "tmp", left[0] ?? ""));
    await writeFile(join(root, "tmp", left[1] ?? ""), "half of an app");
    await open();
    expect(await readdir(join(root, "tmp"))).toEqual([]);
  });

  it("refuses a folder of another layout version", async () => {
    await writeFile(join(root, "oci-layout"), '{"imageLayoutVersion":"2.0.0"}');
    await expect(open()).rejects.toMatchObject({ code: "FIRN_STORE_FORMAT" });
  });

  it("refuses a malformed index with a sentence that says what to do", async () => {
    await writeFile(join(root, "index.json"), "{");
    await expect(open()).rejects.toMatchObject({
      code: "FIRN_STORE_FORMAT",
      message: expect.stringContaining("Move it away"),
    });
  });
});

describe("Store after its process was killed while it published", () => {
  const steps: PublishStep[] = ["start", "memory", "state", "scratch", "config", "manifest", "index"];
  it.each(steps)("after step %s holds what was published, and no leftovers", async (step) => {
    const script = new URL("../../test/publish-and-die.ts", import.meta.url).pathname;
    const child = await new Promise<{ signal: NodeJS.Signals | null; stderr: string }>((resolve) => {
      const args = ["--conditions=firn-source", script, root, step];
      execFile(process.execPath, args, (error, _, stderr) =>
        resolve({ signal: error?.signal ?? null, stderr }),
      );
    });
    expect(child).toMatchObject({ signal: "SIGKILL" });
    const store = await open();
    expect(await readdir(join(root, "tmp"))).toEqual([]);
    const snapshots = await store.list();
    expect(snapshots.map(({ config }) => config.kind)).toEqual(
      step === "index" ? ["base", "diff"] : ["base"],
    );
    const [, diff] = snapshots;
    if (diff !== undefined) await store.tag("diff", diff.digest);
    await store.tag("base", snapshots[0]?.digest ?? "sha256:");
    await store.collectGarbage();
    for (const { digest } of snapshots) await store.verify(digest);
    const needed = new Set(snapshots.flatMap(({ blobs }) => blobs.map(({ digest }) => digest)));
    expect(new Set((await store.blobs.list()).map(({ digest }) => digest))).toEqual(needed);
    const [base] = snapshots;
    const config = exampleConfig({ kind: "diff", parent: base?.digest ?? null, appImage: null });
    await store.verify((await publishExample(store, "another diff", config)).digest);
  });
});
