import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, it } from "node:test";
import { NodeProgram } from "../support/node-program.ts";
import { exists, isRunning, until } from "../support/processes.ts";
import { bootGuest, KERNEL, ROOT_DISK, temporaryFolder } from "./guest.ts";

describe("the process of a microVM", () => {
  it("is gone after close(), which may be called twice", async () => {
    const microvm = await bootGuest();
    assert.ok(isRunning(microvm.pid));
    await Promise.all([microvm.close(), microvm.close()]);
    assert.ok(!exists(microvm.pid));
    assert.deepEqual(await microvm.exited, { reason: "closed" });
    await assert.rejects(microvm.statistics(), { code: "FIRN_VMM_CLOSED" });
    await assert.rejects(microvm.waitForDoorbell(), { code: "FIRN_VMM_CLOSED" });
  });

  it("counts exits while the guest runs", async () => {
    await using microvm = await bootGuest();
    const first = await microvm.statistics();
    const giveUp = Date.now() + 30_000;
    let later = first;
    while (later.kvmExits === first.kvmExits && Date.now() < giveUp) later = await microvm.statistics();
    assert.ok(later.kvmExits > first.kvmExits);
    assert.ok(later.phases.total > 0);
  });

  it("goes on when a wait for the doorbell is aborted or takes too long", async () => {
    await using microvm = await bootGuest();
    const signal = AbortSignal.timeout(50);
    await assert.rejects(microvm.waitForDoorbell({ signal }), { code: "FIRN_ABORTED" });
    await assert.rejects(microvm.waitForDoorbell({ timeoutMs: 10 }), { code: "FIRN_TIMEOUT" });
    await microvm.statistics();
  });

  it("is an error of its own microVM only when it is killed", async () => {
    await using other = await bootGuest();
    await using microvm = await bootGuest();
    const waiting = assert.rejects(microvm.waitForDoorbell(), { code: "FIRN_VMM_CRASHED" });
    process.kill(microvm.pid, "SIGKILL");
    const { reason, error } = await microvm.exited;
    assert.equal(reason, "crashed");
    assert.match(error?.message ?? "", /by signal 9/);
    await waiting;
    await assert.rejects(microvm.pause(), { code: "FIRN_VMM_CRASHED" });
    await other.statistics();
  });

  it("refuses what it cannot boot and leaves nothing behind", async () => {
    const folder = await temporaryFolder();
    try {
      const notKernel = join(folder, "Image");
      await writeFile(notKernel, "not a kernel".repeat(1000));
      await assert.rejects(bootGuest({ kernelPath: notKernel }), { code: "FIRN_KERNEL" });
      await assert.rejects(bootGuest({ kernelPath: join(folder, "missing") }), { code: "FIRN_IO" });
      await assert.rejects(bootGuest({ memoryBytes: 1 << 20 }), { code: "FIRN_CONFIG" });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("passes on what the guest writes to its console", async () => {
    await using microvm = await bootGuest({ console: true, commandLine: "console=ttyS0 panic=-1" });
    assert.ok(microvm.console);
    // Without a root disk on its command line the kernel panics and resets.
    assert.deepEqual(await microvm.exited, { reason: "reset" });
    assert.match(await text(microvm.console), /Linux version [\s\S]*Unable to mount root/);
  });

  it("does not outlive Node, however Node ends", async () => {
    const index = new URL("../../src/index.ts", import.meta.url).href;
    const options = { kernelPath: KERNEL, rootDiskPath: ROOT_DISK, memoryBytes: 256 << 20 };
    const script = `
      import { bootMicrovm } from ${JSON.stringify(index)};
      const { pid } = await bootMicrovm(${JSON.stringify(options)});
      console.log(pid);`;
    const node = NodeProgram.ofSource(script);
    const pid = Number(await node.firstLine());
    assert.ok(isRunning(pid));
    node.child.kill("SIGKILL");
    await until("it is gone", () => !isRunning(pid), 30_000);
  });
});
