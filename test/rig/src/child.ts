import { type ChildProcess, spawn } from "node:child_process";
import { SetupError } from "../../../setup/errors.ts";
import type { ArmProcess, ExecOptions, ExecResult } from "./host.ts";

/** How one kind of ARM host starts a command and ends it. */
export interface Launch {
  command: string;
  args: readonly string[];
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  detached: boolean;
  kill(child: ChildProcess, signal: "TERM" | "INT" | "KILL"): Promise<void>;
}

const defaultTimeoutMs = 10 * 60_000;

/** Starts what a launch describes. */
export function launchProcess(launch: Launch, signal?: AbortSignal): ArmProcess {
  const child = spawn(launch.command, launch.args, {
    ...(launch.cwd === undefined ? {} : { cwd: launch.cwd }),
    env: launch.env,
    detached: launch.detached,
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.on("error", () => undefined);
  const exited = new Promise<number>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve(status ?? 255));
  });
  // Whoever does not wait for the end is not told of it.
  exited.catch(() => undefined);
  const kill = (which: "TERM" | "INT" | "KILL" = "TERM") => launch.kill(child, which);
  const abort = () => void kill("KILL").catch(() => child.kill("SIGKILL"));
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort, { once: true });
  const forget = () => signal?.removeEventListener("abort", abort);
  exited.then(forget, forget);
  return { stdin: child.stdin, stdout: child.stdout, stderr: child.stderr, exited, kill };
}

/**
 * Runs a command to its end, with a deadline.
 *
 * @throws {SetupError} DEADLINE_PASSED
 */
export async function collect(
  start: (signal: AbortSignal) => ArmProcess,
  line: string,
  options: ExecOptions,
): Promise<ExecResult> {
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);
  const child = start(signal);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  child.stdin.end(options.input);
  const status = await child.exited;
  options.signal?.throwIfAborted();
  if (deadline.aborted) {
    const message = `\`${line}\` was still running on the ARM host after ${timeoutMs / 1000} s and was ended.`;
    throw new SetupError("DEADLINE_PASSED", `${message}\n${Buffer.concat(stderr).toString("utf8")}`);
  }
  const text = (chunks: Buffer[]) => Buffer.concat(chunks).toString("utf8");
  return { status, stdout: text(stdout), stderr: text(stderr) };
}
