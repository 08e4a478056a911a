import assert from "node:assert/strict";
import { copyFile, open, rm, stat } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { type LayerReference, type Microvm, type RestoreOptions, restoreMicrovm } from "@firn/vmm";
import { AgentConversation, loadFunctionBytes, resumeBytes } from "./agent-conversation.ts";
import { bootToBase, layerReference, ROOT_DISK, snapshotFiles, temporaryFolder } from "./guest.ts";

describe("a base snapshot", () => {
  let folder: string;
  let source: Microvm;
  let agent: AgentConversation;
  let base: LayerReference;
  let statePath: string;

  before(async () => {
    folder = await temporaryFolder();
    [source, agent] = await bootToBase();
    assert.deepEqual((await source.waitForDoorbell()).event, "base-ready");
    const files = snapshotFiles(folder, "base");
    const report = await source.snapshot(files);
    assert.equal(report.layerFileBytes, (await stat(files.layerPath)).size);
    assert.equal(report.stateFileBytes, (await stat(files.statePath)).size);
    assert.ok(report.dataBytes > 0 && report.dataBytes < 256 << 20, `${report.dataBytes} bytes of data`);
    base = await layerReference(files.layerPath);
    statePath = files.statePath;
  });

  after(async () => {
    await source?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const restore = (options: Partial<RestoreOptions> = {}) =>
    restoreMicrovm({ layers: [base], statePath, rootDiskPath: ROOT_DISK, ...options });

  it("restores to the memory that it was taken from", async () => {
    await using clone = await restore({ paused: true });
    assert.equal(await clone.memoryChecksum(), await source.memoryChecksum());
  });

  it("restores to clones that each pass the doorbell once", async () => {
    const clones = await Promise.all([1, 2, 3].map(() => restore({ initialBytes: resumeBytes() })));
    try {
      assert.equal(new Set(clones.map(({ pid }) => pid)).size, 3);
      const resumed = await Promise.all(
        clones.map(async ({ stream }) => new AgentConversation(stream).expect("resumed")),
      );
      for (const { doorbellCount } of resumed) assert.equal(doorbellCount, 1);
    } finally {
      await Promise.all(clones.map((clone) => clone.close()));
    }
  });

  it("restores with more initial bytes than the stream holds at once, and loses none", async () => {
    const initialBytes = Buffer.concat([resumeBytes(), loadFunctionBytes({ PADDING: "x".repeat(3 << 20) })]);
    await using clone = await restore({ initialBytes });
    const conversation = new AgentConversation(clone.stream);
    await conversation.expect("resumed");
    // There is no app disk; what counts is that the frame arrived whole.
    assert.equal((await conversation.expect("functionFailed")).code, "FIRN_AGENT");
  });

  it("restores to a clone that can be snapshotted itself, in a second layer", async () => {
    const files = snapshotFiles(folder, "diff");
    await using clone = await restore({ initialBytes: resumeBytes() });
    const conversation = new AgentConversation(clone.stream);
    await conversation.expect("resumed");
    await conversation.prepareSnapshot(3);
    assert.equal((await clone.waitForDoorbell()).event, "warm");
    const report = await clone.snapshot(files);
    assert.ok(
      report.layerFileBytes < (await stat(base.path)).size,
      `the diff has ${report.layerFileBytes} bytes`,
    );
    const layers = [base, await layerReference(files.layerPath)];
    await using second = await restore({ layers, statePath: files.statePath, initialBytes: resumeBytes() });
    const { doorbellCount } = await new AgentConversation(second.stream).expect("resumed");
    assert.equal(doorbellCount, 2);
  });

  it("is refused when a byte of its layer table or state was changed", async () => {
    const damaged = snapshotFiles(folder, "damaged");
    await copyFile(base.path, damaged.layerPath);
    await copyFile(statePath, damaged.statePath);
    await flipByte(damaged.layerPath, 40);
    const layers = [{ ...base, path: damaged.layerPath }];
    await assert.rejects(restore({ layers, paused: true }), { code: "FIRN_SNAPSHOT_CORRUPT" });
    await flipByte(damaged.statePath, 100);
    await assert.rejects(restore({ statePath: damaged.statePath, paused: true }), {
      code: "FIRN_SNAPSHOT_CORRUPT",
    });
  });

  it("leaves its source able to go on", async () => {
    await source.resume({ initialBytes: resumeBytes() });
    const { doorbellCount } = await agent.expect("resumed");
    assert.equal(doorbellCount, 1);
    await source.pause();
    const checksum = await source.memoryChecksum();
    assert.equal(await source.memoryChecksum(), checksum);
    await source.resume({ initialBytes: resumeBytes() });
  });
});

async function flipByte(path: string, offset: number): Promise<void> {
  const file = await open(path, "r+");
  try {
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, offset);
    await file.write(Buffer.from([(buffer[0] ?? 0) ^ 0xff]), 0, 1, offset);
  } finally {
    await file.close();
  }
}
