import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { tail } from "../../../setup/command.ts";
import { SetupError } from "../../../setup/errors.ts";
import { isAlive } from "../../../setup/processes.ts";
import type { RigFiles, RigState } from "./state.ts";

const pollMs = 50;

/** The last lines of a rig's console and of QEMU's own messages, for an error message. */
export async function consoleTail(files: RigFiles): Promise<string> {
  const [console, log] = await Promise.all(
    [files.console, files.log].map((file) => readFile(file, "utf8").catch(() => "")),
  );
  return `The end of ${files.console}:\n${tail(console ?? "")}\nThe end of ${files.log}:\n${tail(log ?? "", 10)}`;
}

/**
 * Waits until the rig prints a text on its console.
 *
 * @throws {SetupError} RIG_STOPPED when it ends first, DEADLINE_PASSED when it does not get there.
 */
export async function waitForConsole(
  files: RigFiles,
  state: RigState,
  text: string,
  timeoutMs: number,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const alive = await isAlive(state.qemu);
    if ((await readFile(files.console, "latin1").catch(() => "")).includes(text)) return;
    if (!alive) {
      const message = `The rig ${state.name} ended before it was up.\n${await consoleTail(files)}`;
      throw new SetupError("RIG_STOPPED", message);
    }
    if (Date.now() > deadline) {
      const message = `The rig ${state.name} was not up within ${timeoutMs / 1000} s.\n${await consoleTail(files)}`;
      throw new SetupError("DEADLINE_PASSED", message);
    }
    await sleep(pollMs);
  }
}
