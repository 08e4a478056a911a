import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  bootMicrovm,
  createMicrovmPool,
  type JailLevel,
  type JailReport,
  probeJail,
  restoreMicrovm,
} from "@firn/vmm";
import { NodeProgram } from "../support/node-program.ts";
import { AgentConversation, resumeBytes } from "./agent-conversation.ts";
import { bootToBase, KERNEL, layerReference, ROOT_DISK, snapshotFiles, temporaryFolder } from "./guest.ts";

const isRoot = process.getuid?.() === 0;
const LEVELS: readonly JailLevel[] = ["root", "user-namespaces", "minimal"];
const CGROUPS = "/sys/fs/cgroup";

/** A field of `status` of a process or thread. */
function field(path: string, name: string): string {
  const [, value = ""] = new RegExp(`^${name}:(.*)$`, "m").exec(readFileSync(path, "utf8")) ?? [];
  return value.trim();
}

/** Whether the kernel has Landlock, by its own list, which may not be mounted yet. */
async function hasLandlock(): Promise<boolean> {
  const folder = await temporaryFolder();
  execFileSync("mount", ["-t", "securityfs", "securityfs", folder]);
  try {
    return readFileSync(join(folder, "lsm"), "utf8").trim().split(",").includes("landlock");
  } finally {
    execFileSync("umount", [folder]);
    await rm(folder, { recursive: true });
  }
}

/** The directories of the cgroups that this program has made. */
function ownCgroups(): string[] {
  const [, own = ""] = /^0::(\/.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8")) ?? [];
  if (!existsSync(CGROUPS + own)) return [];
  return readdirSync(CGROUPS + own).filter((name) => name.startsWith(`firn-vmm-${process.pid}-`));
}

describe("the jail of a microVM", { skip: isRoot ? false : "only root can have every level" }, () => {
  for (const level of LEVELS) {
    it(`of level ${level} holds a guest that boots, is snapshotted, restored and taken from a pool`, async () => {
      const folder = await temporaryFolder();
      const jail = { level };
      try {
        const [source, agent] = await bootToBase({ jail });
        const files = snapshotFiles(folder, "base");
        try {
          await source.waitForDoorbell();
          assert.equal(source.jail.level, level);
          assert.ok(source.jail.microseconds > 0);
          await source.snapshot(files);
          await source.resume({ initialBytes: resumeBytes() });
          await agent.expect("resumed");
        } finally {
          await source.close();
        }
        const base = { layers: [await layerReference(files.layerPath)], statePath: files.statePath, jail };
        const restore = { ...base, rootDiskPath: ROOT_DISK, leaf: true };
        await using fresh = await restoreMicrovm({ ...restore, initialBytes: resumeBytes() });
        await new AgentConversation(fresh.stream).expect("resumed");
        await using pool = createMicrovmPool({ bases: [base], size: 1, maxMemoryPressure: 100 });
        await pool.filled();
        await using pooled = await pool.restore({ ...restore, initialBytes: resumeBytes() });
        await new AgentConversation(pooled.stream).expect("resumed");
        assert.deepEqual([pooled.pooled, pooled.jail.level], [true, level]);
        assert.notEqual(pooled.jail.uid, fresh.jail.uid);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });

    it(`of level ${level} leaves its process no privilege and no file`, async () => {
      const folder = await temporaryFolder();
      const scratchDiskPath = join(folder, "scratch");
      await writeFile(scratchDiskPath, "");
      await truncate(scratchDiskPath, 1 << 20);
      await using microvm = await bootMicrovm({
        kernelPath: KERNEL,
        rootDiskPath: ROOT_DISK,
        scratchDiskPath,
        memoryBytes: 256 << 20,
        jail: { level },
      });
      await rm(folder, { recursive: true });
      // A vCPU's thread has its filter before the first instruction of the guest, and the start does not wait for that.
      while ((await microvm.statistics()).kvmExits === 0);
      const process = `/proc/${microvm.pid}`;
      const tasks = readdirSync(`${process}/task`).map((task) => `${process}/task/${task}/status`);
      for (const status of tasks) {
        const { uid } = microvm.jail;
        assert.equal(field(status, "Uid"), [uid, uid, uid, uid].join("\t"));
        assert.equal(field(status, "Groups"), "");
        assert.equal(field(status, "NoNewPrivs"), "1");
        assert.equal(field(status, "Seccomp"), "2");
        for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
          assert.equal(field(status, set), "0".repeat(16), `${set} of ${status}`);
        }
      }
      const filters = tasks.map((status) => [field(status, "Name"), field(status, "Seccomp_filters")]);
      const [main, ...others] = filters;
      assert.equal(main?.[1], "2");
      // The threads of disks and the vCPU's have a filter of their own on top.
      assert.deepEqual(others.sort(), [
        ["disk", "3"],
        ["flush", "3"],
        ["vcpu0", "3"],
      ]);
      if (level !== "minimal") assert.deepEqual(readdirSync(`${process}/root`), []);
      assert.equal(microvm.jail.landlock > 0, await hasLandlock());
    });
  }

  it("is the first level that can be had if none is named", async () => {
    const { level, uid } = await probeJail();
    assert.equal(level, "root");
    assert.ok(uid >= 2_000_000_000);
  });

  it("holds the process to the limits that are asked for, by a cgroup that is gone with it", async () => {
    const limits = { memoryMaxBytes: 400 << 20, pidsMax: 20, cpusMax: 1.5 };
    const options = { kernelPath: KERNEL, rootDiskPath: ROOT_DISK, memoryBytes: 256 << 20, jail: limits };
    const lacking = await probeJail(limits).then(
      () => undefined,
      (error: { code: string }) => error.code,
    );
    if (lacking !== undefined) {
      // A host without the memory cgroup, say.
      assert.equal(lacking, "FIRN_JAIL_UNAVAILABLE");
      await assert.rejects(bootMicrovm(options), { code: "FIRN_JAIL_UNAVAILABLE", message: /limit|cgroup/ });
      return;
    }
    {
      await using microvm = await bootMicrovm(options);
      assert.deepEqual(microvm.jail.cgroup, { memory: true, pids: true, cpu: true });
      const [, path = ""] = /^0::(.*)$/m.exec(readFileSync(`/proc/${microvm.pid}/cgroup`, "utf8")) ?? [];
      const read = (name: string) => readFileSync(`${CGROUPS}${path}/${name}`, "utf8").trim();
      assert.deepEqual(
        [read("memory.max"), read("pids.max"), read("cpu.max")],
        [String(400 << 20), "20", "150000 100000"],
      );
    }
    assert.deepEqual(ownCgroups(), []);
  });

  it("holds the process to the guest's memory and 64 MiB by default, where there are cgroups", async () => {
    await using microvm = await bootMicrovm({
      kernelPath: KERNEL,
      rootDiskPath: ROOT_DISK,
      memoryBytes: 256 << 20,
    });
    if (microvm.jail.cgroup?.memory !== true) {
      assert.match(microvm.jail.missing.join("\n"), /no cgroup|no memory limit/);
      return;
    }
    const [, path = ""] = /^0::(.*)$/m.exec(readFileSync(`/proc/${microvm.pid}/cgroup`, "utf8")) ?? [];
    assert.equal(readFileSync(`${CGROUPS}${path}/memory.max`, "utf8").trim(), String((256 + 64) << 20));
  });

  it("is an error if another user asks for root's", async () => {
    const index = new URL("../../src/index.ts", import.meta.url).href;
    const script = `
      import { probeJail } from ${JSON.stringify(index)};
      const { level } = await probeJail();
      const error = await probeJail({ level: "root" }).catch((error) => error);
      console.log(JSON.stringify([level, error.code, error.message]));`;
    const node = NodeProgram.ofSource(script, 65_534);
    const said = await node.firstLine();
    const [level, code, message] = JSON.parse(said) as [string, string, string];
    assert.match(level, /^(user-namespaces|minimal)$/);
    assert.equal(code, "FIRN_JAIL_UNAVAILABLE");
    assert.match(message, /^the jail level root cannot be had: it must be started by root/);
  });

  it("is minimal for another user of a host without user namespaces, and says what forbids them", async () => {
    const index = new URL("../../src/index.ts", import.meta.url).href;
    const options = { kernelPath: KERNEL, rootDiskPath: ROOT_DISK, memoryBytes: 256 << 20 };
    const script = `
      import { bootMicrovm } from ${JSON.stringify(index)};
      await using microvm = await bootMicrovm(${JSON.stringify(options)});
      while ((await microvm.statistics()).kvmExits === 0);
      console.log(JSON.stringify(microvm.jail));`;
    // The host is a user namespace, which has limits of its own, and this user the only one in it.
    const starter = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps"];
    const forbid = "echo 0 > /proc/sys/user/max_user_namespaces";
    starter.push("sh", "-c", `${forbid} && exec "$@"`, "sh");
    const node = NodeProgram.ofSource(script, undefined, starter);
    const { level, uid, missing } = JSON.parse(await node.firstLine()) as JailReport;
    assert.deepEqual([level, uid], ["minimal", 1000]);
    const reason = missing.find((text) => text.startsWith("no level user-namespaces: "));
    assert.match(reason ?? "", /; user\.max_user_namespaces is 0 on this host$/);
  });

  it("leaves no process that Node has no descriptor left to hear of", async () => {
    const url = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
    const node = NodeProgram.ofSource(`
      import { closeSync, openSync, readdirSync, readlinkSync } from "node:fs";
      import { probeJail } from ${url("../../src/index.ts")};
      import { childrenOf, until } from ${url("../support/processes.ts")};
      await probeJail();
      setInterval(() => {}, 1000);
      console.log("ready");
      await new Promise((resolve) => process.once("SIGUSR2", resolve));
      const held = [];
      const holdAll = () => {
        try {
          for (;;) held.push(openSync("/dev/null"));
        } catch {}
      };
      const isPidfd = (fd) => {
        try {
          return readlinkSync("/proc/self/fd/" + fd).includes("pidfd");
        } catch {
          return false;
        }
      };
      let failure = "none";
      // Until it has not yet told of its successor when there are no descriptors left.
      while (failure === "none") {
        holdAll();
        for (const fd of held.splice(-12)) closeSync(fd);
        const code = probeJail().then(() => "none", (error) => error.code);
        while (!readdirSync("/proc/self/fd").some(isPidfd));
        holdAll();
        failure = await code;
      }
      for (const fd of held) closeSync(fd);
      await until("no process is left", () => childrenOf(process.pid).length === 0).catch(() => {});
      console.log(JSON.stringify({ failure, left: childrenOf(process.pid) }));`);
    await node.firstLine();
    execFileSync("prlimit", [`--pid=${node.pid}`, "--nofile=128:128"]);
    node.child.kill("SIGUSR2");
    await node.until("it has tried", () => node.said.includes("left"));
    assert.deepEqual(JSON.parse(node.said.slice(node.said.indexOf("{"))), {
      failure: "FIRN_PROTOCOL",
      left: [],
    });
    node.child.kill();
  });

  it("leaves no process and no cgroup when Node is killed in a snapshot, and the next starts at once", async () => {
    const folder = await temporaryFolder();
    const files = snapshotFiles(folder, "base");
    const url = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
    const options = { kernelPath: KERNEL, rootDiskPath: ROOT_DISK, memoryBytes: 256 << 20 };
    const first = NodeProgram.ofSource(`
      import { bootMicrovm } from ${url("../../src/index.ts")};
      const microvm = await bootMicrovm(${JSON.stringify(options)});
      // The guest takes some memory meanwhile.
      await new Promise((resolve) => setTimeout(resolve, 3000));
      await microvm.pause();
      console.log(microvm.pid);
      process.once("SIGUSR2", () => microvm.snapshot(${JSON.stringify(files)}));
      setInterval(() => {}, 1000);`);
    const pid = Number(await first.firstLine());
    const second = NodeProgram.ofSource(`
      import { bootMicrovm } from ${url("../../src/index.ts")};
      import { exists, until } from ${url("../support/processes.ts")};
      console.log("ready");
      await until("the other Node is gone", () => !exists(${first.pid}), 60_000);
      const start = () => bootMicrovm(${JSON.stringify(options)});
      await start();
      await until("its microVM is gone", () => !exists(${pid}), 60_000);
      await start();
      console.log("started");`);
    await second.firstLine();
    first.child.kill("SIGUSR2");
    await first.until("it takes the snapshot", () => existsSync(files.layerPath));
    first.child.kill("SIGKILL");
    await second.until("it has started", () => second.said.includes("started"));
    const [, own = ""] = /^0::(\/.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8")) ?? [];
    const left = existsSync(CGROUPS + own) ? readdirSync(CGROUPS + own) : [];
    assert.deepEqual(
      left.filter((name) => name.startsWith(`firn-vmm-${first.pid}-`)),
      [],
    );
    second.child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  });
});
