import { accessSync, constants } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";

/** The root of this repository. */
export const repository: string = dirname(import.meta.dirname);

/** True on an ARM machine. */
export const isArm: boolean = process.arch === "arm64";

/** What the GNU tools for ARM are called on this machine: Debian has the prefixed names on ARM machines too. */
export const toolPrefix = "aarch64-linux-gnu-";

/** How many compilers run at once. */
export const jobs: number = availableParallelism();

/** True when this machine can run ARM microVMs itself. */
export function hasUsableKvm(): boolean {
  if (!isArm) return false;
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
