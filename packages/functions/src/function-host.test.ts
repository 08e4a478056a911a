import { chmod, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_DEADLINES, digestOf, type Runtime } from "@firn/snapshots";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { currentConfig, digestOfText, publishExample, writeRuntime } from "../../snapshots/test/snapshots.ts";
import { zipOf } from "../test/archives.ts";
import { isSameVersion } from "./catalog/function-record.ts";
import { FunctionHost } from "./function-host.ts";

let root: string;
let host: FunctionHost;
let runtime: Runtime;
let troubles: [remedy: string, code: unknown][];

/** A machine on which no microVM starts: its kernel is no kernel, and most machines that run this have no ARM KVM either. */
async function open(): Promise<FunctionHost> {
  const machine = {
    kernelPath: join(root, "kernel"),
    runtimes: [runtime],
    vcpus: 1,
    deadlines: DEFAULT_DEADLINES,
    jail: { level: "minimal" },
  } as const;
  return FunctionHost.open(join(root, "store"), machine, {
    onSnapshotTrouble: (_, error, remedy) => troubles.push([remedy, (error as { code?: unknown }).code]),
  });
}

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-host-"));
  await writeFile(join(root, "kernel"), "kernel");
  runtime = await writeRuntime(join(root, "node24"), "node24", {
    entryPoints: { default: "index", extensions: [".js", ".mjs"], packageFile: "package.json" },
  });
  troubles = [];
  host = await open();
});
afterEach(async () => {
  await host.close();
  await rm(root, { recursive: true, force: true });
});

const settings = {
  name: "hello",
  handler: "default",
  environment: { A: "1" },
  memoryMib: 256,
  timeoutMs: 3000,
  readyTimeoutMs: 10_000,
};

async function deploy(source: string, change: Partial<typeof settings> = {}) {
  const archive = join(root, "app.zip");
  await writeFile(archive, zipOf([{ name: "index.js", contents: source }]));
  return host.deploy({ ...settings, ...change, source: { archive } });
}

/** A function as if it had been deployed on this machine while that could run microVMs. */
async function deployed() {
  const { record, active } = await deploy("first");
  await expect(active).rejects.toMatchObject({ code: expect.stringMatching(/^FIRN_/) });
  return host.store.adding(async () => {
    const base = await publishExample(host.store, "base memory", await currentConfig(runtime));
    const change = { kind: "diff", parent: base.digest, appImage: record.app.digest } as const;
    const config = await currentConfig(runtime, change);
    const diff = await publishExample(host.store, "diff memory", config, record.app);
    const workingSet = host.store.temporaryPath("working-set");
    await writeFile(workingSet, "ranges");
    const referrer = await host.store.addWorkingSet(diff, workingSet);
    host.catalog.activate(record, diff.digest);
    return { base, diff, workingSet: referrer, record: host.get("hello") };
  });
}

describe("FunctionHost.deploy()", () => {
  it("keeps the app and the reason when the snapshot cannot be made, also when it is opened again", async () => {
    const { record, active } = await deploy("first");
    expect(record).toMatchObject({
      state: "Pending",
      entry: "index.js",
      update: "InProgress",
      version: 1,
      snapshot: null,
    });
    await expect(active).rejects.toThrow();
    await host.close();
    host = await open();
    const failed = host.get("hello");
    expect(failed).toMatchObject({ state: "Failed", failure: { code: expect.stringMatching(/^FIRN_/) } });
    await host.store.blobs.verify(failed.app);
  });

  it("keeps the snapshot when nothing has changed", async () => {
    const { record } = await deployed();
    const again = await deploy("first");
    expect(again.record).toEqual(record);
    expect(await again.active).toEqual(record);
  });

  it.each([
    ["the files", "second", {}],
    ["the environment", "first", { environment: { A: "2" } }],
    ["the memory", "first", { memoryMib: 512 }],
  ])(
    "makes a new snapshot when %s changed, and stays active with the old one if that fails",
    async (_, source, change) => {
      const { record } = await deployed();
      const { record: next, active } = await deploy(source, change);
      expect(next).toMatchObject({ state: "Active", update: "InProgress", version: 2 });
      await expect(active).rejects.toThrow();
      expect(host.get("hello")).toMatchObject({
        ...record,
        update: "Failed",
        failure: { code: expect.stringMatching(/^FIRN_/) },
      });
      await host.store.verify(record.snapshot ?? "sha256:");
    },
  );

  it("makes a new snapshot when the kernel changed", async () => {
    const { record } = await deployed();
    await writeFile(join(root, "kernel"), "another kernel");
    const { active } = await deploy("first");
    await expect(active).rejects.toThrow();
    expect(host.get("hello").snapshot).toBe(record.snapshot);
  });

  it("refuses a second deploy of the same function while one is under way", async () => {
    const archive = join(root, "app.zip");
    await writeFile(archive, zipOf([{ name: "index.js", contents: "first" }]));
    const first = host.deploy({ ...settings, source: { archive } });
    const second = host.deploy({ ...settings, source: { archive } });
    await expect(second).rejects.toMatchObject({ code: "FIRN_FUNCTION_PENDING" });
    await (await first).active.catch(() => {});
  });

  it("serves another archive of the same files from the same snapshot, at once", async () => {
    const { record } = await deployed();
    const archive = join(root, "app.zip");
    const files = [{ name: "index.js", contents: "first" }];
    await writeFile(archive, zipOf([{ name: "./index.js", contents: "first" }]));
    const { record: next, active } = await host.deploy({ ...settings, source: { archive } });
    expect(next).toMatchObject({
      version: 2,
      update: "Successful",
      snapshot: record.snapshot,
      app: record.app,
    });
    expect(next.code).toEqual({ digest: digestOf(await readFile(archive)), size: zipOf(files).length + 4 });
    expect(await active).toEqual(next);
    await host.store.verify(record.snapshot ?? "sha256:");
  });

  it("goes on with an update that the end of a former process cut off, while the old version serves", async () => {
    const { record } = await deployed();
    const { active } = await deploy("second");
    await host.close();
    await expect(active).rejects.toThrow();
    host = await open();
    expect(host.get("hello")).toMatchObject({ ...record, update: "InProgress" });
    await host.recover();
    expect(host.get("hello")).toMatchObject({ version: 1, state: "Active", update: "Failed" });
  });

  it("has the default runtime, one that is named, and refuses one that is not there", async () => {
    const { record } = await deployed();
    expect(record.runtime).toBe("node24");
    const archive = join(root, "app.zip");
    const named = await host.deploy({ ...settings, runtime: "node24", source: { archive } });
    expect((await named.active).version).toBe(1);
    const unknown = host.deploy({ ...settings, runtime: "ruby3.3", source: { archive } });
    await expect(unknown).rejects.toMatchObject({
      code: "FIRN_RUNTIME_UNKNOWN",
      message: expect.stringContaining("node24"),
    });
    expect(host.get("hello")).toEqual(record);
  });

  it("keeps the name of the entry that was wanted, for the next deploy", async () => {
    const archive = join(root, "app.zip");
    for (const name of ["index.js", "index.mjs"]) {
      await writeFile(archive, zipOf([{ name, contents: "" }]));
      const { record, active } = await host.deploy({ ...settings, entry: "index", source: { archive } });
      await expect(active).rejects.toThrow();
      expect(record).toMatchObject({ wantedEntry: "index", entry: name });
    }
  });

  it("refuses an archive without leaving a record", async () => {
    const archive = join(root, "app.zip");
    await writeFile(archive, "nonsense");
    const wanted = host.deploy({ ...settings, source: { archive } });
    await expect(wanted).rejects.toMatchObject({ code: "FIRN_APP_INVALID" });
    expect(host.catalog.list()).toEqual([]);
  });
});

describe("FunctionHost.start()", () => {
  it("names an unknown function, and one whose own code failed", async () => {
    await expect(host.start("nobody", "diff")).rejects.toMatchObject({ code: "FIRN_FUNCTION_NOT_FOUND" });
    const { record, active } = await deploy("first");
    await expect(active).rejects.toThrow();
    host.catalog.fail(record, { code: "FIRN_FUNCTION_IMPORT", message: "boom", stack: "" });
    await expect(host.start("hello", "diff")).rejects.toMatchObject({
      code: "FIRN_FUNCTION_FAILED",
      message: expect.stringContaining("boom"),
    });
  });

  it("tries to make a truncated snapshot again, and loses nothing when it cannot", async () => {
    const { diff, record } = await deployed();
    const path = host.store.blobs.pathOf(diff.memory.digest);
    await chmod(path, 0o644);
    await truncate(path, 2);
    await expect(host.start("hello", "diff")).rejects.toMatchObject({
      code: expect.stringMatching(/^FIRN_/),
    });
    expect(troubles[0]).toEqual(["rebuild", "FIRN_SNAPSHOT_CORRUPT"]);
    expect(host.get("hello")).toMatchObject({ state: "Active", snapshot: record.snapshot });
  });

  it("tries to make a snapshot of another kernel again", async () => {
    await deployed();
    await writeFile(runtime.rootDiskPath, "another root disk");
    await expect(host.start("hello", "diff")).rejects.toThrow();
    expect(troubles[0]).toEqual(["rebuild", "FIRN_SNAPSHOT_INCOMPATIBLE"]);
  });

  it("says which file is missing", async () => {
    await deployed();
    await rm(join(root, "kernel"));
    await expect(host.start("hello", "regular")).rejects.toMatchObject({
      code: "FIRN_FILE_MISSING",
      message: expect.stringContaining(join(root, "kernel")),
    });
  });
});

describe("the pool of a FunctionHost", () => {
  const MIB = 1024 * 1024;

  it("has processes for a base that is found, and none once it is discarded", async () => {
    const { base } = await deployed();
    expect(host.poolStatistics()).toMatchObject({ wanted: 0, bases: [] });
    await host.bases.base("node24", 256 * MIB);
    await expect.poll(() => host.poolStatistics().wanted).toBe(2);
    expect(host.poolStatistics().bases).toMatchObject([{ layers: [base.memory.digest] }]);
    // No process runs here: the pool says why, and that it tries again.
    await expect.poll(() => host.poolStatistics()).toMatchObject({ waiting: 0, heldBack: "failures" });
    expect(host.poolStatistics().lastFailure?.code).toMatch(/^FIRN_/);
    await host.bases.discard(base);
    expect(host.poolStatistics()).toMatchObject({ wanted: 0, bases: [] });
  });

  it("has none for a base whose kernel has changed", async () => {
    await deployed();
    await host.bases.base("node24", 256 * MIB);
    await expect.poll(() => host.poolStatistics().wanted).toBe(2);
    await writeFile(join(root, "kernel"), "another kernel");
    await expect(host.bases.base("node24", 256 * MIB)).rejects.toThrow();
    expect(host.poolStatistics()).toMatchObject({ wanted: 0, bases: [] });
  });

  it("has processes for the base of a diff that is started", async () => {
    const { base } = await deployed();
    await expect(host.start("hello", "diff")).rejects.toThrow();
    expect(host.poolStatistics().bases).toMatchObject([{ layers: [base.memory.digest] }]);
    expect(host.poolStatistics().misses).toBeGreaterThan(0);
  });
});

describe("FunctionHost", () => {
  it("tells who listens when a function has changed", async () => {
    const changes: string[] = [];
    host.onChange((name) => changes.push(`${name} ${host.catalog.find(name)?.version}`));
    await deployed();
    await host.remove("hello");
    expect(changes).toEqual(["hello undefined"]);
  });

  it("takes a function of the same name for another one", async () => {
    const { record } = await deployed();
    await host.remove("hello");
    const { record: second } = await deployed();
    expect([second.name, second.version]).toEqual([record.name, record.version]);
    expect(isSameVersion(record, second)).toBe(false);
  });

  it("frees what a removed function needed, its base too if no other function does", async () => {
    const { base } = await deployed();
    await host.bases.base("node24", base.config.memoryBytes);
    await host.remove("hello");
    expect(() => host.get("hello")).toThrow(expect.objectContaining({ code: "FIRN_FUNCTION_NOT_FOUND" }));
    await expect.poll(() => host.store.blobs.list()).toEqual([]);
  });

  it("counts the bytes that each start mode needs in the store", async () => {
    const { record, base, diff, workingSet } = await deployed();
    const own = (blobs: typeof diff.blobs) => blobs.reduce((sum, { size }) => sum + size, 0);
    expect(await host.storeBytes(record, "regular")).toBe(0);
    expect(await host.storeBytes(record, "base")).toBe(own(base.blobs));
    expect(await host.storeBytes(record, "diff")).toBe(
      own(base.blobs) + own(diff.blobs) - record.app.size + own(workingSet.blobs),
    );
  });

  it("takes up what the end of a former process cut off, and says how it went", async () => {
    const { record, active } = await deploy("first");
    await host.close();
    await expect(active).rejects.toThrow();
    host = await open();
    expect(host.get("hello")).toEqual(record);
    expect(record).toMatchObject({ state: "Pending", update: "InProgress", failure: null });
    await host.recover();
    expect(host.get("hello")).toMatchObject({
      state: "Failed",
      failure: { code: expect.stringMatching(/^FIRN_/) },
    });
    await expect(host.start("hello", "diff")).rejects.toMatchObject({
      code: expect.stringMatching(/^FIRN_/),
    });
  });
});

it("the example config fits the files of this test", async () => {
  expect(await currentConfig(runtime)).toMatchObject({
    kernel: digestOfText("kernel"),
    rootDisk: digestOfText("root disk"),
  });
});
