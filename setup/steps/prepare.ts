import { kernelPath } from "../../guest-images/images.ts";
import { type ArmHost, type ArmHostOptions, buildRigImage, openArmHost } from "../../test/rig/src/index.ts";
import { hasUsableKvm } from "../machine.ts";
import { step } from "../progress.ts";
import type { Need } from "../suites.ts";
import { buildGuest, publishImages, turbo } from "./builds.ts";
import { installSystemPackages } from "./system-packages.ts";

/** What the rig needs before it can start. */
export async function prepareForRig(): Promise<void> {
  await step("system packages", installSystemPackages);
  if (!hasUsableKvm()) await step("rig image", buildRigImage);
}

/** Installs and builds what suites need. Returns the variables by which programs find the images, where they need those. */
export async function prepare(need: Need): Promise<Record<string, string>> {
  if (need === "guests") return prepareEverything();
  await step("system packages", installSystemPackages);
  if (need === "packages") await step("packages and firn-vmm", () => turbo("build"));
  return {};
}

/** Installs and builds everything. Returns the variables by which programs find the images. */
export async function prepareEverything(): Promise<Record<string, string>> {
  await prepareForRig();
  await step("guest kernel", () => kernelPath("firn"));
  await step("packages and firn-vmm", () => turbo("build"));
  return publishImages(await step("runtime images", buildGuest));
}

/** Opens the ARM host, with a line about how long it took. */
export async function openHost(options: ArmHostOptions): Promise<ArmHost> {
  const title = hasUsableKvm() ? "ARM host (this machine)" : `ARM host (rig ${options.name ?? "default"})`;
  return step(title, () => openArmHost(options));
}
