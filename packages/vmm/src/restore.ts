import { parseDigest } from "./digest.ts";
import type { Microvm } from "./microvm.ts";
import { startMicrovm } from "./start.ts";

/** A memory layer file. */
export interface LayerReference {
  path: string;
  /** `sha256:…` of the file. It is not computed here: verify a file when you get it. */
  digest: string;
}

/** What {@link restoreMicrovm} takes. */
export interface RestoreOptions {
  /** Memory layers, base first; each names the one before it as its parent. */
  layers: readonly LayerReference[];
  /** State file of the last layer. */
  statePath: string;
  /** Root file system; the one that the base was booted from. */
  rootDiskPath: string;
  /** App image; the one that the last layer was taken with. */
  appDisk?: { path: string; digest: string } | undefined;
  /** In the guest's receive queue before its first instruction, as far as the queue holds: a resume record, and what follows it. */
  initialBytes?: Uint8Array | undefined;
  /** A leaf serves only: its doorbell is ignored and it cannot be snapshotted. No by default. */
  leaf?: boolean | undefined;
  /** Whether the vCPUs stay stopped, before the first instruction, until `resume`. No by default. */
  paused?: boolean | undefined;
  /** Whether `console` of the microVM is wanted; no by default. */
  console?: boolean | undefined;
  /** Whether writes are recorded for `writtenRanges`; slow, for tests. */
  trackWrites?: boolean | undefined;
  /** Ends the start, not the microVM. */
  signal?: AbortSignal | undefined;
}

/**
 * Restores a snapshot in a new process.
 *
 * @returns the microVM when its vCPUs run, or could if they were not to be `paused`.
 * @throws {FirnVmmError} FIRN_PLATFORM_UNSUPPORTED, FIRN_VMM_BINARY_MISSING, FIRN_KVM_UNAVAILABLE, FIRN_IO for a missing file,
 * FIRN_SNAPSHOT_CORRUPT, FIRN_SNAPSHOT_INCOMPATIBLE, FIRN_ABORTED and others.
 */
export async function restoreMicrovm(options: RestoreOptions): Promise<Microvm> {
  const { layers, statePath, rootDiskPath, appDisk, initialBytes, signal } = options;
  const { leaf = false, paused = false, console = false, trackWrites = false } = options;
  const native = {
    layers: layers.map(({ path, digest }) => ({ path, digest: parseDigest(digest) })),
    statePath,
    rootDiskPath,
    leaf,
    paused,
    console,
    trackWrites,
    ...(appDisk === undefined
      ? {}
      : { appDiskPath: appDisk.path, appImageDigest: parseDigest(appDisk.digest) }),
    ...(initialBytes === undefined ? {} : { initialBytes }),
  };
  return startMicrovm({
    what: "The restore",
    signal,
    initialBytes,
    send: (vmm, id) => vmm.restore(id, native),
  });
}
