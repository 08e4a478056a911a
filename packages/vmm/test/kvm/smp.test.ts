import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { type Microvm, restoreMicrovm } from "@firn/vmm";
import { AgentConversation, resumeBytes } from "./agent-conversation.ts";
import { bootGuest, bootToBase, layerReference, ROOT_DISK, snapshotFiles, temporaryFolder } from "./guest.ts";

describe("a Linux guest with four vCPUs", () => {
  let folder: string;
  before(async () => {
    folder = await temporaryFolder();
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("brings them all up, and lets programs use them", async () => {
    const program = "console.log('parallelism ' + os.availableParallelism())";
    await using microvm = await bootGuest({
      vcpus: 4,
      console: true,
      // Node.js in place of the agent; when it ends, the kernel panics and resets.
      commandLine: "console=ttyS0 panic=-1 root=/dev/vda rootfstype=erofs ro init=/usr/bin/node",
      kernelParameters: ["--", "-e", `"${program}"`],
    });
    assert.ok(microvm.console);
    const output = await text(microvm.console);
    assert.match(output, /Brought up 1 node, 4 CPUs/);
    assert.match(output, /parallelism 4/);
  });

  it("is snapshotted, goes on, and is restored to clones that go on", async () => {
    const [source, agent] = await bootToBase({ vcpus: 4 });
    try {
      assert.equal((await source.waitForDoorbell()).event, "base-ready");
      const files = snapshotFiles(folder, "base");
      await source.snapshot(files);
      const layers = [await layerReference(files.layerPath)];
      const restore = () =>
        restoreMicrovm({
          layers,
          statePath: files.statePath,
          rootDiskPath: ROOT_DISK,
          initialBytes: resumeBytes(),
        });
      await using first = await restore();
      await using second = await restore();
      await source.resume({ initialBytes: resumeBytes() });
      await Promise.all([goesOn(source, agent), goesOn(first), goesOn(second)]);
    } finally {
      await source.close();
    }
  });
});

/** Resumed, a guest can be asked for another snapshot: its agent and its runtime, on whatever vCPUs they are, answer. */
async function goesOn(
  microvm: Microvm,
  agent: AgentConversation = new AgentConversation(microvm.stream),
): Promise<void> {
  assert.equal((await agent.expect("resumed")).doorbellCount, 1);
  await agent.prepareSnapshot(3);
  assert.equal((await microvm.waitForDoorbell()).event, "warm");
}
