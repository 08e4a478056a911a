import { existsSync } from "node:fs";
import { closeProcess } from "./close-process.ts";
import { toFirnVmmError } from "./errors.ts";
import type { JailOptions } from "./jail.ts";
import { adviseOnKvm } from "./kvm-advice.ts";
import { request } from "./request.ts";
import { type LayerReference, nativeLayer } from "./restore.ts";
import { type SpawnedProcess, spawnProcess } from "./start.ts";
import { PREPARE_TIMEOUT_MS } from "./timeouts.ts";

/** What restores have in common: a snapshot on top of which others were taken. */
export interface PoolBase {
  /** Its memory layers, lowest first. */
  readonly layers: readonly LayerReference[];
  /** State file of the last of them. It says how many vCPUs and how much memory. */
  readonly statePath: string;
  /**
   * Working sets of snapshots on top of it: what any of their clones reads of the base is given to the guest before there is one,
   * and what all of them write, up to 16 MiB, is private by then. Those that are not there any more are left out.
   */
  readonly workingSetPaths?: readonly string[] | undefined;
  /** The jail of its processes, which are for restores that want the same. */
  readonly jail?: JailOptions | undefined;
}

/** A process that has done all that a restore on top of its base can have done before, and waits for the rest. */
export interface PreparedProcess extends SpawnedProcess {
  readonly pid: number;
  /** Private memory of the process when it was ready, in bytes. */
  readonly privateBytes: number;
}

/**
 * Spawns a process and prepares it; if that fails, the process is gone when this rejects.
 *
 * @throws {FirnVmmError} As `restoreMicrovm`.
 */
export async function prepareProcess(base: PoolBase, signal: AbortSignal): Promise<PreparedProcess> {
  const workingSetPaths = (base.workingSetPaths ?? []).filter((path) => existsSync(path));
  const native = {
    layers: base.layers.map(nativeLayer),
    statePath: base.statePath,
    workingSetPaths,
  };
  const spawned = spawnProcess(base.jail);
  const { vmm } = spawned;
  try {
    const limits = { signal, timeoutMs: PREPARE_TIMEOUT_MS };
    const send = (id: number) => vmm.prepare(id, native);
    const preparing = request(vmm, "Preparing a process", limits, send);
    const [{ pid, privateBytes }] = await Promise.all([preparing, spawned.jailed]);
    return { ...spawned, pid, privateBytes };
  } catch (thrown) {
    await closeProcess(vmm).catch(() => {});
    throw await adviseOnKvm(toFirnVmmError(thrown));
  }
}
