import { stat } from "node:fs/promises";
import { createResumeRecord } from "@firn/protocol";
import type { Microvm } from "@firn/vmm";
import { hostFingerprint } from "../bases/host-fingerprint.ts";
import type { Deadline } from "../deadline.ts";
import { SnapshotError } from "../errors.ts";
import { type Digest, digestOfFile } from "../store/digest.ts";
import { CONFIG_VERSION, type SnapshotConfig, type SnapshotManifest } from "../store/manifest.ts";
import { MEDIA_TYPE } from "../store/media-types.ts";
import type { Store } from "../store/store.ts";
import { AgentConnection } from "./agent-connection.ts";
import type { ScratchDisk } from "./scratch-disk.ts";
import { takeSnapshot } from "./take-snapshot.ts";

/** What an instance was started from, which its snapshots refer to. */
export interface InstanceOrigin {
  readonly store: Store;
  readonly scratch: ScratchDisk | undefined;
  readonly app: { readonly path: string; readonly digest: Digest } | undefined;
  /** The snapshot underneath, or what the microVM was booted with. */
  readonly from:
    | SnapshotManifest
    | {
        readonly kernelPath: string;
        readonly rootDiskPath: string;
        readonly memoryBytes: number;
        readonly vcpus: number;
        readonly devices: readonly string[];
        readonly runtime: string;
        readonly agent: { readonly abi: number; readonly version: string };
      };
}

/** How to snapshot an instance. */
export interface SnapshotInstanceOptions {
  /** A name that keeps the snapshot. Without one, and without a lease, the next garbage collection removes it. */
  readonly tag?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Brings an instance to rest, publishes a snapshot of it, and lets it go on: a `diff` on top of the snapshot that it was started from, or
 * a `full` one if it was booted.
 */
export async function snapshotInstance(
  vm: Microvm,
  agent: AgentConnection,
  origin: InstanceOrigin,
  deadlines: { readonly snapshot: Deadline; readonly resume: Deadline },
  options: SnapshotInstanceOptions,
): Promise<SnapshotManifest> {
  const { store, scratch, app } = origin;
  const deadline = deadlines.snapshot;
  return store.adding(async () => {
    const files = await takeSnapshot(vm, agent, store, {
      event: "warm",
      appImageDigest: app?.digest,
      scratch,
      deadline,
    });
    await resumeMicrovm(vm, agent, deadlines.resume);
    const appBlob = app === undefined ? undefined : await appDescriptor(app);
    const config = await configOf(origin);
    return store.publish({ config, app: appBlob, ...files, report: { ...files.report } }, options);
  });
}

/** Lets a microVM that stands still go on, with a new generation: nothing of the function runs before its clock and its random numbers are right. */
export async function resumeMicrovm(vm: Microvm, agent: AgentConnection, deadline: Deadline): Promise<void> {
  const initialBytes = AgentConnection.encode({ type: "resume", ...createResumeRecord() });
  await vm.resume({ initialBytes });
  await agent.expect("resumed", deadline);
}

/** Brings the function to rest, as before a snapshot, and stops the microVM. */
export async function pauseMicrovm(vm: Microvm, agent: AgentConnection, deadline: Deadline): Promise<void> {
  agent.send({ type: "prepareSnapshot" });
  await agent.expect("snapshotPrepared", deadline);
  await vm.pause();
}

async function appDescriptor({ path, digest }: { path: string; digest: Digest }) {
  return { mediaType: MEDIA_TYPE.app, digest, size: (await stat(path)).size };
}

async function configOf({ from, app }: InstanceOrigin): Promise<SnapshotConfig> {
  const host = await hostFingerprint();
  const appImage = app?.digest ?? null;
  if ("config" in from) return { ...from.config, kind: "diff", parent: from.digest, appImage, host };
  const { kernelPath, rootDiskPath, memoryBytes, vcpus, devices, runtime, agent } = from;
  return {
    configVersion: CONFIG_VERSION,
    kind: "full",
    architecture: "arm64",
    memoryBytes,
    vcpus,
    devices: [...devices],
    runtime,
    agent: { ...agent },
    kernel: (await digestOfFile(kernelPath)).digest,
    rootDisk: (await digestOfFile(rootDiskPath)).digest,
    parent: null,
    appImage,
    host,
  };
}

/** The error for an instance that was started to serve and nothing else. */
export function notSnapshottable(): SnapshotError {
  return new SnapshotError(
    "FIRN_SNAPSHOT_REFUSED",
    "The instance cannot be snapshotted: it was started to serve only. Start it with `snapshottable: true`.",
  );
}
