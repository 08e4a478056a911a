import { createResumeRecord, type LoadFunction, type Warning } from "@firn/protocol";
import { type JailOptions, restoreMicrovm } from "@firn/vmm";
import { requireCompatible } from "../bases/compatible.ts";
import { hostFingerprint } from "../bases/host-fingerprint.ts";
import { DEFAULT_DEADLINES, type Deadlines } from "../deadlines.ts";
import type { Digest } from "../store/digest.ts";
import type { Descriptor, SnapshotManifest } from "../store/manifest.ts";
import type { Store } from "../store/store.ts";
import { AgentConnection, type GuestLogLine } from "./agent-connection.ts";
import { ConsoleTail, explainFailure } from "./microvm-failure.ts";
import { scratchOf } from "./scratch-disk.ts";
import { type SourceInvoke, sourceInvoker } from "./source-invocations.ts";
import { takeSnapshot } from "./take-snapshot.ts";

/** What a diff is made from. */
export interface DiffOptions {
  /** Manifest digest of the snapshot underneath. */
  readonly base: Digest;
  /** App image, in the store. */
  readonly app: Descriptor;
  /** The root disk that the base was made with. */
  readonly rootDiskPath: string;
  readonly load: LoadFunction;
  /** A name that keeps the snapshot. */
  readonly tag?: string | undefined;
  readonly jail?: JailOptions | undefined;
  readonly deadlines?: Deadlines;
  readonly onLog?: (line: GuestLogLine) => void;
  /** Gets what clones of the snapshot will share although they should not, such as the state of a child process. */
  readonly onWarning?: (warning: Warning) => void;
  /**
   * Called when the function is ready: may have it answer requests, so that what it compiles and fills meanwhile is in the snapshot. They must be
   * answered when this resolves. What it rejects with fails the diff.
   */
  readonly rehearse?: (invoke: SourceInvoke) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Restores a base, loads a function into it, and publishes the snapshot of the moment at which the function is warm.
 *
 * @throws {FunctionFailedError} if the function throws at import or in a hook, exits, or does not get ready.
 * @throws {SnapshotError} FIRN_SNAPSHOT_MISSING, FIRN_SNAPSHOT_CORRUPT, FIRN_TIMEOUT, FIRN_ABORTED, FIRN_AGENT_PROTOCOL,
 *   FIRN_AGENT_DISCONNECTED.
 */
export async function createDiff(store: Store, options: DiffOptions): Promise<SnapshotManifest> {
  const { app, load, jail, signal } = options;
  const deadlines = options.deadlines ?? DEFAULT_DEADLINES;
  const base = await store.locate(options.base);
  await requireCompatible(base.manifest);
  await using scratch = await scratchOf(store, base, { keepOpen: true });
  const vm = await restoreMicrovm({
    layers: [...base.layers],
    statePath: base.statePath,
    rootDiskPath: options.rootDiskPath,
    appDisk: { path: store.blobs.pathOf(app.digest), digest: app.digest },
    initialBytes: AgentConnection.encode(
      { type: "resume", ...createResumeRecord() },
      { type: "loadFunction", ...load },
    ),
    ...(scratch === undefined ? {} : { scratchDiskPath: scratch.path }),
    leaf: false,
    console: true,
    jail,
    ...(signal === undefined ? {} : { signal }),
  });
  await scratch?.handedOver();
  const console = new ConsoleTail(vm.console);
  const agent = new AgentConnection(vm.stream, options.onLog === undefined ? {} : { onLog: options.onLog });
  try {
    await agent.expect("resumed", { timeoutMs: deadlines.resumeMs, signal });
    // The guest enforces the function's own deadline and says what was late; this one is for a guest that hangs.
    const timeoutMs = load.readyTimeoutMs + deadlines.readyMs;
    const { awaitsRestore } = await agent.expect("functionReady", { timeoutMs, signal });
    // One that waits for its restore takes no request before it.
    if (!awaitsRestore)
      await options.rehearse?.(sourceInvoker(agent, { graceMs: deadlines.graceMs, signal }));
    const deadline = { timeoutMs: deadlines.snapshotMs, signal };
    const { warnings, ...files } = await takeSnapshot(vm, agent, store, {
      event: "warm",
      appImageDigest: app.digest,
      scratch,
      deadline,
    });
    for (const warning of warnings) options.onWarning?.(warning);
    const config = {
      ...base.manifest.config,
      kind: "diff",
      parent: base.manifest.digest,
      appImage: app.digest,
      host: await hostFingerprint(),
    } as const;
    return await store.publish(
      { config, app, ...files, report: { ...files.report } },
      { tag: options.tag, signal },
    );
  } catch (error) {
    throw await explainFailure(error, vm, console);
  } finally {
    agent.close();
    await vm.close();
  }
}
