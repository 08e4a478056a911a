import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/** A process that outlives the one that started it. Process ids are used again; a start time tells two apart. */
export interface ProcessIdentity {
  pid: number;
  startTime: string;
}

/** True when a process of this id exists, whoever it is. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Notes who a running process is, to find it again later. */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  if (stat === undefined) return undefined;
  // The name, in brackets, may hold spaces and brackets of its own: count the fields from the last bracket.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z") return undefined;
  return { pid, startTime: fields[19] ?? "" };
}

/** True while the very process noted is there. */
export async function isAlive(process: ProcessIdentity): Promise<boolean> {
  const now = await identify(process.pid);
  return now !== undefined && now.startTime === process.startTime;
}

/** Ends a process: asks it with SIGTERM, and after `graceMs` with SIGKILL. Returns when it is gone. */
export async function endProcess(target: ProcessIdentity, graceMs = 3000): Promise<void> {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    const deadline = Date.now() + graceMs;
    if (!(await isAlive(target))) return;
    try {
      process.kill(target.pid, signal);
    } catch {
      return;
    }
    while (Date.now() < deadline && (await isAlive(target))) await sleep(25);
  }
}
