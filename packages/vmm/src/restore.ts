import { type DeviceLimits, type NetLink, nativeDeviceOptions } from "./devices.ts";
import { parseDigest } from "./digest.ts";
import type { JailOptions } from "./jail.ts";
import type { Microvm } from "./microvm.ts";
import { type Start, startMicrovm } from "./start.ts";

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
  /**
   * Working set of the snapshot, as `recordWorkingSet` of a clone wrote it: the memory in it is made private at once, before
   * the first instruction.
   */
  workingSetPath?: string | undefined;
  /**
   * Image of the scratch disk, wanted if the snapshot's microVM had one, and only then: of the same size, with the contents that that
   * one had when the snapshot was taken, and used by no other microVM.
   */
  scratchDiskPath?: string | undefined;
  /** What the network card is plugged into, if the snapshot's microVM had one; its link is down by default. */
  net?: NetLink | undefined;
  /** How fast devices may be; nothing is limited by default, whatever held for the snapshot's microVM. */
  limits?: DeviceLimits | undefined;
  /** In the guest's receive queue before its first instruction, as far as the queue holds: a resume record, and what follows it. */
  initialBytes?: Uint8Array | undefined;
  /** A leaf serves only: its doorbell is ignored and it cannot be snapshotted. No by default. */
  leaf?: boolean | undefined;
  /** Whether the vCPUs stay stopped, before the first instruction, until `resume`. No by default. */
  paused?: boolean | undefined;
  /** Whether `console` of the microVM is wanted; no by default. */
  console?: boolean | undefined;
  /** Whether `recordWorkingSet` tells what was only read, too: a slow start, for a clone that is thrown away. */
  recordReads?: boolean | undefined;
  /** The jail of the process; by default the best that the host can give. */
  jail?: JailOptions | undefined;
  /** Ends the start, not the microVM. */
  signal?: AbortSignal | undefined;
}

/**
 * Restores a snapshot in a new process.
 *
 * @returns the microVM when its vCPUs run, or could if they were not to be `paused`.
 * @throws {FirnVmmError} FIRN_PLATFORM_UNSUPPORTED, FIRN_VMM_BINARY_MISSING, FIRN_KVM_UNAVAILABLE, FIRN_IO for a missing file,
 * FIRN_SNAPSHOT_CORRUPT, FIRN_SNAPSHOT_INCOMPATIBLE, FIRN_JAIL_UNAVAILABLE, FIRN_ABORTED and others.
 */
export async function restoreMicrovm(options: RestoreOptions): Promise<Microvm> {
  return startMicrovm(restoreStart(options));
}

/**
 * The restore as a process is asked for it.
 *
 * @param there What the process was prepared with: the lowest of the layers.
 * @throws {FirnVmmError} FIRN_VMM_OPTIONS.
 */
export function restoreStart(options: RestoreOptions, there?: { layers: readonly LayerReference[] }): Start {
  const { layers, statePath, rootDiskPath, appDisk, workingSetPath, initialBytes, jail, signal } = options;
  const { leaf = false, paused = false, console = false, recordReads = false } = options;
  const native = {
    layers: layers.slice(there?.layers.length ?? 0).map(nativeLayer),
    statePath,
    rootDiskPath,
    leaf,
    paused,
    console,
    recordReads,
    ...nativeDeviceOptions(options),
    ...(appDisk === undefined
      ? {}
      : { appDiskPath: appDisk.path, appImageDigest: parseDigest(appDisk.digest) }),
    ...(workingSetPath === undefined ? {} : { workingSetPath }),
    ...(initialBytes === undefined ? {} : { initialBytes }),
  };
  return { what: "The restore", jail, signal, initialBytes, send: (vmm, id) => vmm.restore(id, native) };
}

/** A layer as the addon takes it. @throws {FirnVmmError} FIRN_VMM_OPTIONS. */
export function nativeLayer({ path, digest }: LayerReference): { path: string; digest: Uint8Array } {
  return { path, digest: parseDigest(digest) };
}
