import type { NativeJailOptions } from "./binding.ts";
import type { JailOptions } from "./jail.ts";
import { requireWhole } from "./whole-number.ts";

const MAX_ID = 2 ** 32 - 2;

/** The jail as the addon takes it. @throws {FirnVmmError} FIRN_VMM_OPTIONS. */
export function nativeJail(options: JailOptions = {}): NativeJailOptions {
  const { level = "auto", ids = { first: 2_000_000_000, count: 65_536 }, cgroupParent } = options;
  const { memoryMaxBytes, pidsMax, cpusMax } = options;
  // Id 0 is root's, and the last one the kernel's word for none.
  requireWhole("ids.first of the jail", ids.first, 1, MAX_ID);
  requireWhole("ids.count of the jail", ids.count, 1, MAX_ID + 1 - ids.first);
  if (pidsMax !== undefined) requireWhole("pidsMax of the jail", pidsMax, 1, MAX_ID);
  if (memoryMaxBytes !== undefined) {
    requireWhole("memoryMaxBytes of the jail", memoryMaxBytes, 1);
  }
  const cpuMaxThousandths = cpusMax === undefined ? undefined : Math.round(cpusMax * 1000);
  if (cpuMaxThousandths !== undefined) {
    // The kernel takes a thousandth of its period of 100 milliseconds for too little.
    requireWhole("cpusMax of the jail, in thousandths,", cpuMaxThousandths, 10, 1_000_000);
  }
  return {
    level,
    firstId: ids.first,
    idCount: ids.count,
    ...(cgroupParent === undefined ? {} : { cgroupParent }),
    ...(pidsMax === undefined ? {} : { pidsMax }),
    ...(memoryMaxBytes === undefined ? {} : { memoryMaxBytes }),
    ...(cpuMaxThousandths === undefined ? {} : { cpuMaxThousandths }),
  };
}
