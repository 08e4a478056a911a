import { bootMicrovm, type JailOptions } from "@firn/vmm";
import { DEFAULT_DEADLINES, type Deadlines } from "../deadlines.ts";
import { SnapshotError } from "../errors.ts";
import { AgentConnection, type GuestLogLine } from "../instances/agent-connection.ts";
import { ConsoleTail, explainFailure } from "../instances/microvm-failure.ts";
import { ScratchDisk } from "../instances/scratch-disk.ts";
import { takeSnapshot } from "../instances/take-snapshot.ts";
import { CONFIG_VERSION, type SnapshotConfig, type SnapshotManifest } from "../store/manifest.ts";
import type { Store } from "../store/store.ts";
import { DEVICE_OPTIONS } from "./device-set.ts";
import type { DigestedFile } from "./file-digests.ts";
import { hostFingerprint } from "./host-fingerprint.ts";

/**
 * The kernel zeroes pages when they are freed: what a function no longer uses is not in its snapshot. The agent would otherwise fill
 * free memory with zeros before each snapshot, which leaves a trace in the kernel's note of every page, 4 MiB in 256.
 */
const SNAPSHOT_PARAMETERS = ["init_on_free=1"];

/** What a base is made from. */
export interface BaseOptions {
  readonly kernel: DigestedFile;
  readonly rootDisk: DigestedFile;
  /** An empty formatted image, packed, as `ScratchTemplates` makes it. */
  readonly scratchPath: string;
  /** What {@link deviceSet} tells. */
  readonly devices: readonly string[];
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
  await using scratch = await ScratchDisk.make(store, options.scratchPath, { keepOpen: true });
  const vm = await bootMicrovm({
    ...DEVICE_OPTIONS,
    kernelPath: kernel.path,
    rootDiskPath: rootDisk.path,
    scratchDiskPath: scratch.path,
    memoryBytes,
    vcpus,
    jail,
    console: true,
    kernelParameters: SNAPSHOT_PARAMETERS,
    ...(signal === undefined ? {} : { signal }),
  });
  await scratch.handedOver();
  const console = new ConsoleTail(vm.console);
  const agent = new AgentConnection(vm.stream, options.onLog === undefined ? {} : { onLog: options.onLog });
  try {
    const hello = await agent.expect("hello", { timeoutMs: deadlines.bootMs, signal });
    if (!hello.doorbellPresent) {
      throw new SnapshotError(
        "FIRN_AGENT_PROTOCOL",
        `The guest's agent ${hello.agentVersion} found no doorbell: no snapshot can be taken. Build the kernel and the runtime image again.`,
      );
    }
    await agent.expect("runtimeReady", { timeoutMs: deadlines.bootMs, signal });
    const deadline = { timeoutMs: deadlines.snapshotMs, signal };
    const { warnings: _, ...files } = await takeSnapshot(vm, agent, store, {
      event: "base-ready",
      scratch,
      deadline,
    });
    const config: SnapshotConfig = {
      configVersion: CONFIG_VERSION,
      kind: "base",
      architecture: "arm64",
      memoryBytes,
      vcpus,
      runtime: `${hello.runtimeName} ${hello.runtimeVersion}`,
      devices: [...options.devices],
      agent: { abi: hello.agentAbi, version: hello.agentVersion },
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
