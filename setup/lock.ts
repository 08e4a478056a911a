import { mkdir, open, readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { SetupError } from "./errors.ts";
import { isRunning } from "./processes.ts";

const pollMs = 200;

/**
 * Runs `work` while no other process of this machine runs anything under the same lock file. A lock whose holder died is
 * taken over.
 *
 * @throws {SetupError} LOCK_TIMEOUT when the holder does not finish in time.
 */
export async function withLock<T>(file: string, timeoutMs: number, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(file), { recursive: true });
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      const handle = await open(file, "wx");
      await handle.writeFile(String(process.pid));
      await handle.close();
      break;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
      const holder = await holderOf(file);
      if (holder !== undefined && !isRunning(holder)) {
        await rm(file, { force: true });
        continue;
      }
      if (Date.now() > deadline) {
        const message = `Process ${holder ?? "?"} still holds ${file}. Wait for it, or end it and try again.`;
        throw new SetupError("LOCK_TIMEOUT", message, { cause });
      }
      await sleep(pollMs);
    }
  }
  try {
    return await work();
  } finally {
    await rm(file, { force: true });
  }
}

// A lock file is created first and written to right after: an empty one is held by somebody who has only just taken it.
async function holderOf(file: string): Promise<number | undefined> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text === "" ? undefined : Number(text);
}
