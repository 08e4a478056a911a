import { readFile } from "node:fs/promises";
import { release } from "node:os";

/**
 * What can be read about this machine without KVM, for a snapshot's config: people read it, and the VMM compares the registers
 * themselves when it restores.
 */
export async function hostFingerprint(): Promise<Record<string, string>> {
  const fingerprint: Record<string, string> = { kernel: release(), architecture: process.arch };
  const midr = await readFile("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1", "utf8").catch(
    () => undefined,
  );
  if (midr !== undefined) fingerprint.midr = midr.trim();
  return fingerprint;
}
