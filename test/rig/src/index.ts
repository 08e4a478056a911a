import { hasUsableKvm } from "../../../setup/machine.ts";
import type { ArmHost, ArmHostOptions } from "./host.ts";
import { nativeHost } from "./native.ts";
import { rigHost } from "./remote.ts";
import { startRig } from "./up.ts";

export { copyLines } from "./copy.ts";
export type { ArmHost, ArmHostOptions, ArmProcess, ExecOptions, ExecResult } from "./host.ts";
export { buildRigImage, type RigImage } from "./image.ts";
export type { Forward } from "./ports.ts";
export { type GicVersion, type PageKiB, type RigCpu, type RigProfile, rigProfile } from "./profile.ts";

/**
 * Opens an ARM host with KVM: this machine where it is one, else the rig, which is built and started where it is not up.
 *
 * @example
 * await using host = await openArmHost();
 * const { stdout } = await host.exec("uname", ["-m"]); // "aarch64\n"
 */
export async function openArmHost(options: ArmHostOptions = {}): Promise<ArmHost> {
  if (hasUsableKvm()) return nativeHost();
  return rigHost(await startRig(options), options.keep ?? false);
}
