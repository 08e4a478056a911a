import { PROTOCOL_VERSION } from "@firn/protocol";
import { bootMicrovm, type JailOptions } from "@firn/vmm";
import { DEFAULT_DEADLINES, type Deadlines } from "../deadlines.ts";
import { SnapshotError } from "../errors.ts";
import { AgentConnection, type GuestLogLine } from "../instances/agent-connection.ts";
import { ConsoleTail, explainFailure } from "../instances/microvm-failure.ts";
import { takeSnapshot } from "../instances/take-snapshot.ts";
import type { Digest } from "../store/digest.ts";
import { CONFIG_VERSION, type SnapshotConfig, type SnapshotManifest } from "../store/manifest.ts";
import type { Store } from "../store/store.ts";
import { hostFingerprint } from "./host-fingerprint.ts";

/**
 * The kernel zeroes pages when they are freed: what a function no longer uses is not in its snapshot. The agent would otherwise fill
 * free memory with zeros before each snapshot, which leaves a trace in the kernel's note of every page, 4 MiB in 256.
 */
const SNAPSHOT_PARAMETERS = ["init_on_free=1"];

/** A file with its digest, so that a snapshot can say what it was made from. */
export interface DigestedFile {
  readonly path: string;
  readonly digest: Digest;
}

/** What a base is made from. */
export interface BaseOptions {
  readonly kernel: DigestedFile;
  readonly rootDisk: DigestedFile;
  /** Guest memory in bytes, a multiple of 2 MiB. */
  readonly memoryBytes: number;
  readonly vcpus: number;
  readonly jail?: JailOptions | undefined;
  readonly deadlines?: Deadlines;
  readonly onLog?: (line: GuestLogLine) => void;
  readonly signal?: AbortSignal;
}

/**
 * Boots a microVM, waits until its runtime is ready for a function, and publishes the snapshot of that moment.
 *
 * @throws {FirnVmmError} such as FIRN_KVM_UNAVAILABLE.
 * @throws {SnapshotError} FIRN_TIMEOUT, FIRN_ABORTED, FIRN_AGENT_PROTOCOL, FIRN_AGENT_DISCONNECTED.
 */
export async function createBase(store: Store, options: BaseOptions): Promise<SnapshotManifest> {
  const { kernel, rootDisk, memoryBytes, vcpus, jail, signal } = options;
  const deadlines = options.deadlines ?? DEFAULT_DEADLINES;
  const vm = await bootMicrovm({
    kernelPath: kernel.path,
    rootDiskPath: rootDisk.path,
    memoryBytes,
    vcpus,
    jail,
    console: true,
    kernelParameters: SNAPSHOT_PARAMETERS,
    ...(signal === undefined ? {} : { signal }),
  });
  const console = new ConsoleTail(vm.console);
  const agent = new AgentConnection(vm.stream, options.onLog === undefined ? {} : { onLog: options.onLog });
  try {
    const hello = await agent.expect("hello", { timeoutMs: deadlines.bootMs, signal });
    if (hello.protocolVersion !== PROTOCOL_VERSION || !hello.doorbellPresent) {
      throw new SnapshotError(
        "FIRN_AGENT_PROTOCOL",
        `The guest's agent ${hello.agentVersion} speaks protocol ${hello.protocolVersion} (this program: ${PROTOCOL_VERSION})${hello.doorbellPresent ? "" : " and found no doorbell"}. Build the runtime image again.`,
      );
    }
    const { runtime } = await agent.expect("runtimeReady", { timeoutMs: deadlines.bootMs, signal });
    const deadline = { timeoutMs: deadlines.snapshotMs, signal };
    const files = await takeSnapshot(vm, agent, store, { event: "base-ready", deadline });
    const config: SnapshotConfig = {
      configVersion: CONFIG_VERSION,
      kind: "base",
      architecture: "arm64",
      memoryBytes,
      vcpus,
      runtime,
      devices: [],
      agent: { abi: hello.protocolVersion, version: hello.agentVersion },
      kernel: kernel.digest,
      rootDisk: rootDisk.digest,
      parent: null,
      appImage: null,
      host: await hostFingerprint(),
    };
    return await store.publish({ config, ...files, report: { ...files.report } }, { signal });
  } catch (error) {
    throw await explainFailure(error, vm, console);
  } finally {
    agent.close();
    await vm.close();
  }
}
