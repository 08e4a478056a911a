import { rm } from "node:fs/promises";
import { endProcess } from "../../../setup/processes.ts";
import { type RigFiles, readState } from "./state.ts";

/**
 * Ends everything that belongs to a rig. The rig is not asked: its disk is thrown away, and what it shares with the host is
 * written through. True when there was something to end.
 */
export async function stopRig(files: RigFiles): Promise<boolean> {
  const state = await readState(files);
  if (state === undefined) return false;
  await Promise.all([state.qemu, ...state.helpers].map((process) => endProcess(process)));
  await rm(state.sockets, { recursive: true, force: true });
  for (const file of [files.state, files.initrd, files.sshConfig]) await rm(file, { force: true });
  return true;
}
