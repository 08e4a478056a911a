import { buildRigImage } from "../../test/rig/src/index.ts";
import { step } from "../progress.ts";
import { installSystemPackages } from "./system-packages.ts";

/** What the rig needs before it can start. */
export async function prepareForRig(): Promise<void> {
  await step("system packages", installSystemPackages);
  await step("rig image", buildRigImage);
}
