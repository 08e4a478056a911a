import { type ChildProcess, spawn } from "node:child_process";
import { until } from "./processes.ts";

const ENGINE_FLAGS = new Set(["--liftoff-only", "--disable-wasm-trap-handler"]);

/**
 * Arguments for another Node.js on the host of these tests: with the flags of its engine that this one was given because of how that
 * host translates code (`test/rig/README.md`), if it was.
 */
export function nodeArguments(...args: string[]): string[] {
  return [...process.execArgv.filter((flag) => ENGINE_FLAGS.has(flag)), ...args];
}

/** A program that runs in a Node.js of its own. */
export class NodeProgram {
  readonly child: ChildProcess;
  /** Its standard output so far. */
  said = "";

  /**
   * @param user Whose process it is, by number; this one's by default.
   * @param starter A command that ends by executing the one which it is given.
   */
  constructor(args: string[], user?: number, starter: readonly string[] = []) {
    const [command = process.execPath, ...rest] = [...starter, process.execPath, ...nodeArguments(...args)];
    this.child = spawn(command, rest, {
      stdio: ["ignore", "pipe", "inherit"],
      ...(user === undefined ? {} : { uid: user, gid: user }),
    });
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.said += text;
    });
  }

  /** One that runs a TypeScript module. */
  static ofSource(source: string, user?: number, starter: readonly string[] = []): NodeProgram {
    return new NodeProgram(["--input-type=module-typescript", "--eval", source], user, starter);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Waits until a condition holds, at most a minute, and not for a program that has ended. */
  async until(what: string, condition: () => boolean): Promise<void> {
    await until(`${what}; Node.js said: ${this.said}`, () => condition() || this.#ended(), 60_000);
    if (condition()) return;
    const { exitCode, signalCode } = this.child;
    throw new Error(`Node.js ended by ${signalCode ?? exitCode}, not: ${what}; it said: ${this.said}`);
  }

  /** The first line that it says. */
  async firstLine(): Promise<string> {
    await this.until("it says a line", () => this.said.includes("\n"));
    return this.said.slice(0, this.said.indexOf("\n"));
  }

  #ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }
}
