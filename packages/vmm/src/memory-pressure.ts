import { readFileSync } from "node:fs";

/**
 * The share of the last ten seconds in which at least one task waited for memory, in percent: `some avg10` of a pressure file
 * (Documentation/accounting/psi.rst of Linux). `undefined` where the kernel does not count it.
 */
export function readMemoryPressure(path: string): number | undefined {
  const [, percent] = /^some avg10=(\d+(?:\.\d+)?)/m.exec(read(path)) ?? [];
  return percent === undefined ? undefined : Number(percent);
}

/** What could be given to processes without swapping, in bytes: `MemAvailable` of /proc/meminfo. */
export function readAvailableMemory(): number | undefined {
  const [, kibibytes] = /^MemAvailable: +(\d+) kB$/m.exec(read("/proc/meminfo")) ?? [];
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
}

/** At once, and not by a promise: a thread that ends while Node.js reads asynchronously leaves a descriptor behind. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
