import { stat } from "node:fs/promises";
import { SnapshotError } from "../errors.ts";

/** The devices of every base beside its disks. What a microVM has is decided when it boots: its snapshots and their clones have the same. */
export const DEVICE_OPTIONS = {
  /** Gives back memory that the guest has freed, as it frees it. */
  balloon: true,
  /** A card without a link, until somebody plugs it in. */
  net: {},
  /** The agent brings entropy; what a snapshot holds of a generator's would be the same in all clones. */
  rng: false,
} as const;

/** What a base's device set is called: two bases with the same names have the same devices. Sorted. @throws {SnapshotError} FIRN_FILE_MISSING. */
export async function deviceSet(scratchPath: string): Promise<string[]> {
  const found = await stat(scratchPath).catch(() => undefined);
  if (!found?.isFile()) {
    const message = `The scratch disk ${scratchPath} is not there. Build the runtime, or name its folder.`;
    throw new SnapshotError("FIRN_FILE_MISSING", message);
  }
  return ["app", "balloon", "net", "root", `scratch:${found.size}`];
}
