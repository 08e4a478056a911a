import { readFile } from "node:fs/promises";
import { release } from "node:os";

let found: Promise<Record<string, string>> | undefined;

/**
 * What can be read about this machine without KVM: a snapshot is for machines on which this is the same. The VMM compares the registers
 * themselves when it restores. Read once a process.
 */
export function hostFingerprint(): Promise<Record<string, string>> {
  found ??= read();
  return found;
}

async function read(): Promise<Record<string, string>> {
  const fingerprint: Record<string, string> = { kernel: release(), architecture: process.arch };
  const midr = await readFile("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1", "utf8").catch(
    () => undefined,
  );
  if (midr !== undefined) fingerprint.midr = midr.trim();
  const pageBytes = await readPageBytes().catch(() => undefined);
  if (pageBytes !== undefined) fingerprint.pageBytes = String(pageBytes);
  return fingerprint;
}

/** The page size's number in the auxiliary vector, of pairs of 64-bit words. */
const AT_PAGESZ = 6n;

async function readPageBytes(): Promise<number | undefined> {
  const vector = await readFile("/proc/self/auxv");
  for (let at = 0; at + 16 <= vector.length; at += 16) {
    if (vector.readBigUInt64LE(at) === AT_PAGESZ) return Number(vector.readBigUInt64LE(at + 8));
  }
  return undefined;
}
