import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AGENT_ABI } from "@firn/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { currentConfig, exampleConfig, publishExample, writeRuntime } from "../../test/snapshots.ts";
import { Machine } from "../machine.ts";
import { incompatibility } from "./compatible.ts";
import { readRuntimes } from "./runtime.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-runtimes-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe("readRuntimes()", () => {
  it("finds all runtimes of a folder, by name", async () => {
    for (const name of ["python3.11", "node24"]) await writeRuntime(join(root, name), name);
    await writeFile(join(root, "README"), "");
    const runtimes = await readRuntimes(root);
    expect(runtimes.map(({ name }) => name)).toEqual(["node24", "python3.11"]);
    expect(runtimes[0]).toMatchObject({
      rootDiskPath: join(root, "node24", "rootfs.erofs"),
      scratchPath: join(root, "node24", "scratch.ext4"),
      manifest: { version: "24.9.0" },
    });
  });

  it("says what is missing or malformed", async () => {
    await expect(readRuntimes(root)).rejects.toMatchObject({ code: "FIRN_FILE_MISSING" });
    await mkdir(join(root, "broken"));
    await expect(readRuntimes(root)).rejects.toMatchObject({ code: "FIRN_FILE_MISSING" });
    await writeFile(join(root, "broken", "runtime.json"), '{ "manifestVersion": 2 }');
    await expect(readRuntimes(root)).rejects.toMatchObject({ code: "FIRN_RUNTIME_INVALID" });
  });
});

describe("incompatibility()", () => {
  it("names the agent or the part of the host that is another one", async () => {
    const config = await currentConfig(await writeRuntime(join(root, "node24"), "node24"));
    expect(await incompatibility(config)).toBeUndefined();
    const agent = { abi: AGENT_ABI + 1, version: "9" };
    expect(await incompatibility({ ...config, agent })).toMatch(/protocol/);
    const host = { ...config.host, pageBytes: "16384" };
    expect(await incompatibility({ ...config, host })).toMatch(/pageBytes 16384, this one has/);
  });
});

describe("Machine", () => {
  it("finds a base by runtime, memory and devices, and refuses what is of another kind", async () => {
    const runtimes = [];
    for (const name of ["node22", "node24"]) runtimes.push(await writeRuntime(join(root, name), name));
    const [other, own] = runtimes as [(typeof runtimes)[0], (typeof runtimes)[0]];
    await writeFile(other.rootDiskPath, "another root disk");
    const kernelPath = join(root, "kernel");
    await writeFile(kernelPath, "kernel");
    await using machine = await Machine.open(join(root, "store"), { kernelPath, runtimes });
    const { store, bases } = machine;
    const memoryBytes = 128 << 20;
    const base = await publishExample(store, "base", await currentConfig(own, { memoryBytes }));
    const old = await publishExample(store, "old", exampleConfig({ memoryBytes }));
    expect((await machine.base("node24", memoryBytes)).digest).toBe(base.digest);
    expect((await bases.runtimeOf(base)).name).toBe("node24");
    expect([await bases.isCurrent(base, "node24"), await bases.isCurrent(base, "node22")]).toEqual([
      true,
      false,
    ]);
    await expect(bases.requireCurrent(old, "node24")).rejects.toMatchObject({
      code: "FIRN_SNAPSHOT_INCOMPATIBLE",
    });
    await expect(machine.start(old.digest)).rejects.toMatchObject({ code: "FIRN_SNAPSHOT_INCOMPATIBLE" });
    await expect(machine.start("nobody")).rejects.toMatchObject({ code: "FIRN_SNAPSHOT_MISSING" });
    await expect(machine.base("python", memoryBytes)).rejects.toMatchObject({
      code: "FIRN_RUNTIME_UNKNOWN",
      message: expect.stringContaining("node22, node24"),
    });
    // A base that was wanted stays for a while, though nothing is on top of it.
    expect((await store.collectGarbage()).removedManifests).toEqual([old.digest]);
    await bases.release();
    expect((await store.collectGarbage()).removedManifests).toEqual([base.digest]);
  });
});
