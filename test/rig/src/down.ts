import { rm } from "node:fs/promises";
import { run } from "../../../setup/command.ts";
import { endProcess, isAlive } from "../../../setup/processes.ts";
import { sshHost } from "./ssh.ts";
import { type RigFiles, readState } from "./state.ts";

const syncDeadlineMs = 15_000;

/**
 * Ends everything that belongs to a rig. Its root disk is thrown away, and what it shares with the host is written through;
 * only a disk that keeps data is brought up to date first. True when there was something to end.
 */
export async function stopRig(files: RigFiles): Promise<boolean> {
  const state = await readState(files);
  if (state === undefined) return false;
  if (state.data !== undefined && (await isAlive(state.qemu))) {
    const options = { timeoutMs: syncDeadlineMs, allowFailure: true };
    await run("ssh", ["-F", files.sshConfig, sshHost, "sync"], options).catch(() => undefined);
  }
  await Promise.all([state.qemu, ...state.helpers].map((process) => endProcess(process)));
  await rm(state.sockets, { recursive: true, force: true });
  for (const file of [files.state, files.initrd, files.sshConfig]) await rm(file, { force: true });
  return true;
}
