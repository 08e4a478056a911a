import { spawn } from "node:child_process";
import { SetupError } from "./errors.ts";

/** How to run a command. */
export interface CommandOptions {
  cwd?: string;
  /** Added to this process's environment; `undefined` removes a variable. */
  env?: Record<string, string | undefined>;
  input?: string | Uint8Array;
  signal?: AbortSignal;
  /** Ten minutes if not said. */
  timeoutMs?: number;
  /** Pass the output on to this terminal instead of returning it. */
  inherit?: boolean;
  /** Pass the output on to this terminal as well as returning it. */
  echo?: boolean;
  /** Resolve whatever the exit status is. */
  allowFailure?: boolean;
}

/** What a command left behind. */
export interface CommandResult {
  status: number;
  stdout: string;
  stderr: string;
}

const defaultTimeoutMs = 10 * 60_000;

/** The last lines of a text, as an error message shows them. */
export function tail(text: string, lines = 25): string {
  return text.trimEnd().split("\n").slice(-lines).join("\n");
}

/**
 * Runs a command to its end.
 *
 * @throws {SetupError} COMMAND_NOT_FOUND, COMMAND_FAILED or DEADLINE_PASSED, with the tail of what it printed.
 */
export async function run(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);
  const line = [command, ...args].join(" ");
  const output = options.inherit === true ? "inherit" : "pipe";
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: [options.input === undefined ? "ignore" : "pipe", output, output],
    signal,
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
  if (options.echo === true) {
    child.stdout?.pipe(process.stdout, { end: false });
    child.stderr?.pipe(process.stderr, { end: false });
  }
  // A command that ends without reading its input breaks the pipe; its exit status tells the story.
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(options.input);
  const text = (chunks: Buffer[]) => Buffer.concat(chunks).toString("utf8");
  const status = await new Promise<number>((resolve, reject) => {
    child.on("error", (cause) => {
      if (deadline.aborted) {
        const message = `\`${line}\` was still running after ${timeoutMs / 1000} s and was ended.`;
        reject(new SetupError("DEADLINE_PASSED", `${message}\n${tail(text(stderr))}`));
      } else if ((cause as NodeJS.ErrnoException).code === "ENOENT") {
        const message = `\`${command}\` was not found. Run \`npm run up\`, which installs what is missing.`;
        reject(new SetupError("COMMAND_NOT_FOUND", message, { cause }));
      } else {
        reject(cause);
      }
    });
    child.on("close", (code, killed) => resolve(code ?? (killed === null ? 1 : 128)));
  });
  const result = { status, stdout: text(stdout), stderr: text(stderr) };
  if (status !== 0 && options.allowFailure !== true) {
    const message = `\`${line}\` ended with status ${status}.`;
    throw new SetupError("COMMAND_FAILED", `${message}\n${tail(result.stderr || result.stdout)}`);
  }
  return result;
}

/** Like {@link run}, but as root: through sudo when this process is not. */
export function runAsRoot(
  command: string,
  args: readonly string[],
  options?: CommandOptions,
): Promise<CommandResult> {
  if (process.getuid?.() === 0) return run(command, args, options);
  return run("sudo", ["--preserve-env=DEBIAN_FRONTEND", command, ...args], options);
}
