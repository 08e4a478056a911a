import type { FunctionHost } from "@firn/functions";
import { errorCode, type JailOptions, type JailReport } from "@firn/snapshots";
import type { Config } from "./config.ts";

/** The jail that VMM processes get here, or why none can be started. */
export type JailStatus =
  | ({ readonly available: true } & Pick<JailReport, "level" | "landlock" | "cgroup" | "missing">)
  | { readonly available: false; readonly code: string; readonly message: string };

/** The jail that the configuration asks for. */
export function jailOptions(config: Config): JailOptions {
  const { jail, jailFirstId, jailCgroup, jailMemoryMib, jailCpus } = config;
  return {
    level: jail,
    ids: { first: jailFirstId, count: 65_536 },
    cgroupParent: jailCgroup,
    memoryMaxBytes: jailMemoryMib === undefined ? undefined : jailMemoryMib * 1024 * 1024,
    cpusMax: jailCpus,
  };
}

/**
 * Finds out which jail VMM processes get.
 *
 * @throws {FirnVmmError} FIRN_JAIL_UNAVAILABLE: what was asked for is not silently left out.
 */
export async function findJail(host: FunctionHost): Promise<JailStatus> {
  try {
    const { level, landlock, cgroup, missing } = await host.probeJail();
    return { available: true, level, landlock, missing, ...(cgroup === undefined ? {} : { cgroup }) };
  } catch (error) {
    const code = errorCode(error) ?? "FIRN_INTERNAL";
    if (code === "FIRN_JAIL_UNAVAILABLE") throw error;
    return { available: false, code, message: error instanceof Error ? error.message : String(error) };
  }
}
