import { closeProcess } from "./close-process.ts";
import type { JailOptions, JailReport } from "./jail.ts";
import { spawnProcess } from "./start.ts";

/**
 * Finds out which jail VMM processes get on this host, by starting one that is ended again. Needs no KVM.
 *
 * @throws {FirnVmmError} FIRN_JAIL_UNAVAILABLE if the level cannot be had, saying what is missing; FIRN_PLATFORM_UNSUPPORTED,
 * FIRN_VMM_BINARY_MISSING, FIRN_VMM_OPTIONS and others.
 *
 * @example
 * ```ts
 * const { level, missing } = await probeJail();
 * console.log(level, missing); // "minimal", ["no level root: it must be started by root", …]
 * ```
 */
export async function probeJail(options: JailOptions = {}): Promise<JailReport> {
  const { vmm, jailed } = spawnProcess(options);
  try {
    return await jailed;
  } finally {
    await closeProcess(vmm).catch(() => {});
  }
}
