import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import {
  createMicrovmPool,
  type LayerReference,
  type MicrovmPool,
  type PoolBase,
  type PoolOptions,
  probeJail,
  type RestoreOptions,
  restoreMicrovm,
} from "@firn/vmm";
import { NodeProgram } from "../support/node-program.ts";
import { childrenOf, groupOf, isRunning, kill, membersOf, until } from "../support/processes.ts";
import { AgentConversation, resumeBytes } from "./agent-conversation.ts";
import { bootToBase, layerReference, ROOT_DISK, snapshotFiles, temporaryFolder } from "./guest.ts";

/** What a VMM may need for itself, in bytes. */
const PRIVATE_BYTES_MAX = 5 << 20;

describe("a pool", () => {
  let folder: string;
  let base: PoolBase;
  let diffLayer: LayerReference;
  let diffState: string;
  let level: string;

  before(async () => {
    ({ level } = await probeJail());
    folder = await temporaryFolder();
    const [source] = await bootToBase();
    const baseFiles = snapshotFiles(folder, "base");
    try {
      await source.waitForDoorbell();
      await source.snapshot(baseFiles);
    } finally {
      await source.close();
    }
    base = { layers: [await layerReference(baseFiles.layerPath)], statePath: baseFiles.statePath };
    const diffFiles = snapshotFiles(folder, "diff");
    await using clone = await restoreMicrovm({
      ...base,
      rootDiskPath: ROOT_DISK,
      initialBytes: resumeBytes(),
    });
    const agent = new AgentConversation(clone.stream);
    await agent.expect("resumed");
    await agent.prepareSnapshot(3);
    await clone.waitForDoorbell();
    await clone.snapshot(diffFiles);
    diffLayer = await layerReference(diffFiles.layerPath);
    diffState = diffFiles.statePath;
  });

  after(() => rm(folder, { recursive: true, force: true }));

  const diff = (options: Partial<RestoreOptions> = {}): RestoreOptions => ({
    layers: [...base.layers, diffLayer],
    statePath: diffState,
    rootDiskPath: ROOT_DISK,
    leaf: true,
    ...options,
  });

  /** The rig and its neighbours are busy; what is tested here is not when the pool holds back. */
  const open = (options: PoolOptions = {}): MicrovmPool =>
    createMicrovmPool({ bases: [base], maxMemoryPressure: 100, ...options });

  it("restores to the memory that a new process restores to", async () => {
    await using fresh = await restoreMicrovm(diff({ paused: true }));
    assert.equal(fresh.pooled, false);
    await using pool = open({ size: 1 });
    await pool.filled();
    await using pooled = await pool.restore(diff({ paused: true }));
    assert.equal(pooled.pooled, true);
    assert.equal(await pooled.memoryChecksum(), await fresh.memoryChecksum());
  });

  it("gives clones that answer, each in a process of its own, that count from their restore", async () => {
    await using pool = open();
    const pids = new Set<number>();
    for (let clone = 0; clone < 6; clone += 1) {
      await pool.filled();
      await using microvm = await pool.restore(diff({ initialBytes: resumeBytes() }));
      assert.ok(microvm.pooled);
      const { doorbellCount } = await new AgentConversation(microvm.stream).expect("resumed");
      assert.equal(doorbellCount, 2);
      const { phases, bytesMapped, bytesCopied, kvmExits } = await microvm.statistics();
      assert.equal(phases.createVm, 0);
      assert.ok(bytesMapped + bytesCopied < 64 << 20, "the base is not counted");
      assert.ok(kvmExits > 0);
      pids.add(microvm.pid);
    }
    assert.equal(pids.size, 6);
    const { hits, misses, failures, died } = pool.statistics();
    assert.deepEqual({ hits, misses, failures, died }, { hits: 6, misses: 0, failures: 0, died: 0 });
  });

  it("needs little private memory for what waits", async () => {
    await using pool = open({ size: 3 });
    await pool.filled();
    const { waiting, privateBytes } = pool.statistics();
    assert.equal(waiting, 3);
    assert.ok(privateBytes > 0 && privateBytes < 3 * PRIVATE_BYTES_MAX, `${privateBytes} bytes`);
  });

  it("refuses a diff of another base", async () => {
    const [layer] = base.layers;
    const other = [{ path: layer?.path ?? "", digest: `sha256:${"ab".repeat(32)}` }];
    await using pool = open({ bases: [{ ...base, layers: other }], size: 1 });
    await pool.filled();
    await assert.rejects(pool.restore(diff({ layers: [...other, diffLayer] })), {
      code: "FIRN_SNAPSHOT_CORRUPT",
      message: /would be laid over sha256:abab|abab/,
    });
    assert.equal(pool.statistics().hits, 1);
  });

  it("waits after a base that cannot be used, and starts without it", async () => {
    const failures: string[] = [];
    const broken = { layers: base.layers, statePath: diffLayer.path };
    await using pool = open({ bases: [broken], onFailure: ({ code }) => failures.push(code) });
    await pool.filled();
    assert.deepEqual(failures, ["FIRN_SNAPSHOT_CORRUPT"]);
    assert.equal(pool.statistics().heldBack, "failures");
    await using microvm = await pool.restore(diff({ initialBytes: resumeBytes() }));
    assert.equal(microvm.pooled, false);
    await new AgentConversation(microvm.stream).expect("resumed");
  });

  /** The group that a VMM process has for itself and its successor; 0 if it has none yet, which takes a moment, or is gone. */
  const ownGroupOf = (pid: number) => (groupOf(pid) === groupOf(process.pid) ? 0 : groupOf(pid));
  /** A process is launching until another one, of its group, has taken its place. */
  const hasLaunched = (pid: number) =>
    ownGroupOf(pid) !== 0 && (level === "minimal" || ownGroupOf(pid) !== pid);

  for (const point of ["launching", "preparing", "waiting", "restoring", "serving"] as const) {
    it(`loses one process when it is killed while ${point}, and nothing else`, async () => {
      const known = new Set(childrenOf(process.pid));
      const ours = () => childrenOf(process.pid).filter((pid) => !known.has(pid));
      await using pool = open({ size: 1 });
      if (point !== "launching" && point !== "preparing") await pool.filled();
      const isTaken = point === "restoring" || point === "serving";
      const restored = isTaken ? pool.restore(diff({ initialBytes: resumeBytes() })) : undefined;
      if (point === "serving") await until("the next is prepared", () => pool.statistics().waiting === 1);
      let pid = 0;
      let group = 0;
      await until("it is killed", () => {
        pid = ours().find((pid) => point === "launching" || hasLaunched(pid)) ?? 0;
        group = ownGroupOf(pid);
        return group !== 0 && kill(pid);
      });
      await until("it is reaped, and its launcher or successor", () => membersOf(group).length === 0);
      const taken = await restored;
      if (taken?.pid === pid) {
        const exit = (await taken.exited) as { error?: { code: string } };
        assert.equal(exit.error?.code, "FIRN_VMM_CRASHED");
      } else if (taken !== undefined) {
        assert.equal(point, "restoring");
        await new AgentConversation(taken.stream).expect("resumed");
      }
      await taken?.close();
      await using microvm = await pool.restore(diff({ initialBytes: resumeBytes() }));
      assert.notEqual(microvm.pid, pid);
      await new AgentConversation(microvm.stream).expect("resumed");
      await until("another one waits", () => pool.statistics().waiting === 1, 30_000);
    });

    it(`leaves nothing when Node is killed while a process is ${point}`, async () => {
      const user = new URL("../support/pool-user.ts", import.meta.url).pathname;
      const work = JSON.stringify({ base, diff: { ...diff(), initialBytes: undefined } });
      const node = new NodeProgram([user, work]);
      const groups = new Set<number>();
      const look = () => {
        const pids = childrenOf(node.pid);
        for (const group of pids.map(ownGroupOf)) if (group !== 0) groups.add(group);
        if (point === "launching") return groups.size > 0;
        if (point === "preparing") return pids.some(hasLaunched);
        return node.said.includes(point === "serving" ? "serving" : "waiting");
      };
      await node.until(`it is ${point}`, look);
      look();
      node.child.kill("SIGKILL");
      assert.ok(groups.size > 0);
      const left = () => [...groups].flatMap(membersOf).filter(isRunning);
      await until("all are gone", () => left().length === 0, 30_000);
    });
  }
});
