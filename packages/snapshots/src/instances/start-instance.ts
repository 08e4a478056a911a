import { createResumeRecord, type LoadFunction } from "@firn/protocol";
import { bootMicrovm, type JailOptions, type Microvm, type MicrovmPool, restoreMicrovm } from "@firn/vmm";
import { requireCompatible } from "../bases/compatible.ts";
import { DEVICE_OPTIONS } from "../bases/device-set.ts";
import { DEFAULT_DEADLINES, type Deadlines } from "../deadlines.ts";
import type { Digest } from "../store/digest.ts";
import type { LocatedSnapshot } from "../store/snapshot-reader.ts";
import type { Store } from "../store/store.ts";
import { AgentConnection, type GuestLogLine } from "./agent-connection.ts";
import { invokeMessage } from "./exchange.ts";
import { FIRST_INVOCATION, Instance } from "./instance.ts";
import type { InvokeRequest, Phase } from "./invocation.ts";
import { ConsoleTail, explainFailure } from "./microvm-failure.ts";
import type { ResponseStream } from "./response-stream.ts";
import { ScratchDisk, scratchOf } from "./scratch-disk.ts";
import type { InstanceOrigin } from "./snapshot-instance.ts";

/** What to start, and from what. */
export type StartPlan =
  /** Boot a kernel, start the runtime, load the function. */
  | {
      readonly mode: "regular";
      readonly kernelPath: string;
      /** An empty formatted image, packed, as `ScratchTemplates` makes it. */
      readonly scratchPath: string;
      readonly memoryBytes: number;
      readonly vcpus: number;
      /** What `deviceSet` tells. */
      readonly devices: readonly string[];
      readonly app: { path: string; digest: Digest };
      readonly load: LoadFunction;
    }
  /** Restore a runtime, load the function. */
  | {
      readonly mode: "base";
      readonly snapshot: LocatedSnapshot;
      readonly app: { path: string; digest: Digest };
      readonly load: LoadFunction;
    }
  /** Restore the function as it was when it said that it was warm. */
  | { readonly mode: "diff"; readonly snapshot: LocatedSnapshot };

/** How to start. */
export interface StartOptions {
  readonly rootDiskPath: string;
  /** For the image of the scratch disk, which has no name any more when this resolves. */
  readonly store: Store;
  /** Whether the instance is to be snapshotted and forked. No by default: one that only serves is started with less work. */
  readonly snapshottable?: boolean | undefined;
  /**
   * Variables of the function's process. They are in no snapshot: a diff gets them before its after-restore hooks, a base before it
   * imports the function, and a machine that boots when the function is ready.
   */
  readonly environment?: Readonly<Record<string, string>>;
  /** Requests that the instance may serve at a time; 1 by default. */
  readonly concurrency?: number;
  /** Sent as early as the mode allows: with a diff it lies in the guest's queue before its first instruction. */
  readonly firstRequest?: InvokeRequest;
  readonly jail?: JailOptions | undefined;
  readonly deadlines?: Deadlines;
  /** Steps that came before and are part of the start. */
  readonly phases?: readonly Phase[];
  readonly onLog?: (line: GuestLogLine) => void;
  /** Keeps the guest's console for errors, at some cost in time. */
  readonly console?: boolean;
  /** Where a process for a diff is taken from, if one waits there. */
  readonly pool?: MicrovmPool;
  /** Whether the working set of a diff's clone is to tell what it read. */
  readonly recordReads?: boolean;
  readonly signal?: AbortSignal;
}

/** A started instance, and the response to its first request if there was one. */
export interface StartedInstance {
  readonly instance: Instance;
  /** Settles on its own; the instance ends if it rejects. */
  readonly firstResponse?: Promise<ResponseStream>;
}

/**
 * Starts a microVM with a function. Resolves when the function can be called, or has been called with `firstRequest`.
 *
 * @throws {FunctionFailedError} if the function or one of its hooks fails.
 * @throws {FirnVmmError} such as FIRN_KVM_UNAVAILABLE or FIRN_SNAPSHOT_CORRUPT.
 * @throws {SnapshotError} FIRN_TIMEOUT, FIRN_ABORTED, FIRN_AGENT_PROTOCOL, FIRN_AGENT_DISCONNECTED.
 */
export async function startInstance(plan: StartPlan, options: StartOptions): Promise<StartedInstance> {
  const { firstRequest, environment, signal } = options;
  const deadlines = options.deadlines ?? DEFAULT_DEADLINES;
  const phases: Phase[] = [...(options.phases ?? [])];
  let since = performance.now();
  const finish = (name: string) => {
    const now = performance.now();
    phases.push({ name, milliseconds: now - since });
    since = now;
  };
  const served = Promise.withResolvers<void>();
  if (plan.mode !== "regular") await requireCompatible(plan.snapshot.manifest);
  const { store, snapshottable = false } = options;
  const scratch = await makeScratch(plan, store, snapshottable);
  const vm = await startMicrovm(plan, options, scratch, served.promise).catch(async (error: unknown) => {
    await scratch?.[Symbol.asyncDispose]();
    throw error;
  });
  await scratch?.handedOver();
  const console = new ConsoleTail(vm.console);
  const agent = new AgentConnection(vm.stream, options.onLog === undefined ? {} : { onLog: options.onLog });
  // Begun before anything is read: the answer may come in one piece with the guest's first words.
  const firstExchange =
    firstRequest === undefined || plan.mode !== "diff"
      ? undefined
      : agent.exchange(FIRST_INVOCATION, firstRequest);
  let from: InstanceOrigin["from"] | undefined = plan.mode === "regular" ? undefined : plan.snapshot.manifest;
  try {
    finish(vm.pooled ? "pooled" : plan.mode === "regular" ? "create" : "restore");
    if (plan.mode === "regular") {
      const hello = await agent.expect("hello", { timeoutMs: deadlines.bootMs, signal });
      await agent.expect("runtimeReady", { timeoutMs: deadlines.bootMs, signal });
      const { kernelPath, memoryBytes, vcpus, devices } = plan;
      const { rootDiskPath } = options;
      const booted = { abi: hello.agentAbi, version: hello.agentVersion };
      const runtime = `${hello.runtimeName} ${hello.runtimeVersion}`;
      from = { kernelPath, rootDiskPath, memoryBytes, vcpus, devices, runtime, agent: booted };
      finish("boot");
      agent.send({ type: "loadFunction", ...plan.load });
    } else {
      await agent.expect("resumed", { timeoutMs: deadlines.resumeMs, signal });
      finish("resume");
    }
    if (plan.mode !== "diff") {
      await agent.expect("functionReady", {
        timeoutMs: plan.load.readyTimeoutMs + deadlines.readyMs,
        signal,
      });
      finish("load");
    }
    if (plan.mode === "regular" && environment !== undefined) {
      agent.send({ type: "resume", ...createResumeRecord(environment) });
      await agent.expect("resumed", { timeoutMs: deadlines.resumeMs, signal });
    }
    const app = plan.mode === "diff" ? plan.snapshot.appDisk : plan.app;
    const origin = snapshottable && from !== undefined ? { store, scratch, app, from } : undefined;
    const { phases: _phases, firstRequest: _first, pool: _pool, ...again } = options;
    const startClone = async (snapshot: LocatedSnapshot) =>
      (await startInstance({ mode: "diff", snapshot }, again)).instance;
    const concurrency = options.concurrency ?? 1;
    const common = { vm, agent, mode: plan.mode, phases, deadlines, console, concurrency };
    const instance = new Instance({ ...common, origin, startClone });
    if (firstRequest === undefined) {
      served.resolve();
      return { instance };
    }
    const invocation = signal === undefined ? {} : { signal };
    const firstResponse =
      firstExchange === undefined
        ? instance.invokeStream(firstRequest, invocation)
        : instance.firstResponse(firstRequest, firstExchange, invocation);
    // One that is written piece by piece may take as long as it likes.
    const answered = firstResponse.then((response) => (response.streams ? undefined : response.ended));
    answered.catch(() => {}).finally(served.resolve);
    return { instance, firstResponse };
  } catch (error) {
    served.resolve();
    const reason = await explainFailure(error, vm, console);
    agent.close();
    await scratch?.[Symbol.asyncDispose]();
    await vm.close().catch(() => {});
    throw reason;
  }
}

/** The scratch disk: as the snapshot's microVM left it, or empty. */
function makeScratch(
  plan: StartPlan,
  store: Store,
  snapshottable: boolean,
): Promise<ScratchDisk | undefined> {
  const keepOpen = { keepOpen: snapshottable };
  if (plan.mode === "regular") return ScratchDisk.make(store, plan.scratchPath, keepOpen);
  return scratchOf(store, plan.snapshot, keepOpen);
}

/** @param served Settles when the first answer is there, or none is to come. */
function startMicrovm(
  plan: StartPlan,
  options: StartOptions,
  scratch: ScratchDisk | undefined,
  served: Promise<void>,
): Promise<Microvm> {
  const common = {
    ...(scratch === undefined ? {} : { scratchDiskPath: scratch.path }),
    rootDiskPath: options.rootDiskPath,
    console: options.console ?? false,
    jail: options.jail,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  };
  if (plan.mode === "regular") {
    const { kernelPath, memoryBytes, vcpus, app } = plan;
    return bootMicrovm({
      ...DEVICE_OPTIONS,
      ...common,
      kernelPath,
      memoryBytes,
      vcpus,
      appDiskPath: app.path,
    });
  }
  const resume = { type: "resume", ...createResumeRecord(options.environment) } as const;
  const { layers, statePath, appDisk, workingSetPath } = plan.snapshot;
  const restore = { ...common, layers: [...layers], statePath, leaf: !(options.snapshottable ?? false) };
  if (plan.mode === "base") {
    const initialBytes = AgentConnection.encode(resume, { type: "loadFunction", ...plan.load });
    return restoreMicrovm({ ...restore, appDisk: plan.app, initialBytes });
  }
  const first =
    options.firstRequest === undefined ? [] : [invokeMessage(FIRST_INVOCATION, options.firstRequest)];
  const initialBytes = AgentConnection.encode(resume, ...first);
  const { recordReads } = options;
  const diff = { ...restore, appDisk, workingSetPath, initialBytes, recordReads };
  return options.pool === undefined
    ? restoreMicrovm(diff)
    : options.pool.restore(diff, { refillAfter: served });
}
