import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import {
  decodeRuntimeReport,
  encodeRuntimeCommand,
  encodeRuntimeResume,
  FrameDecoder,
  frame,
  type RuntimeCommand,
  type RuntimeReport,
} from "@firn/protocol";

/** What the runtime reports of one invocation. */
export type InvocationReport = Extract<
  RuntimeReport,
  { type: "responseHead" | "payloadChunk" | "credit" | "invokeEnd" }
>;

/** Where a function is, and how it is run. */
export interface FunctionOptions {
  /** Folder of its files. */
  readonly root: string;
  /** Its module, below the folder. */
  readonly entry: string;
  /** Name of the export; "" for the default one. */
  readonly handler: string;
  /** The runtime; that of this package by default. */
  readonly program?: string | undefined;
}

/** Time to get ready, in milliseconds. */
const READY_TIMEOUT_MS = 60_000;

/** Why a function cannot be served, with its stack. */
export class LoadError extends Error {}

/** A function in a process of its own, run by the same program as in a microVM. This process plays the agent. */
export class FunctionProcess {
  /** Resolves, with how, when the process has ended. */
  readonly exited: Promise<string>;
  readonly #child: ChildProcess;
  readonly #steps: RuntimeReport[] = [];
  readonly #invocations = new Map<number, (report: InvocationReport) => void>();
  #wake: () => void = () => {};
  #how: string | undefined;
  #lastId = 0;

  private constructor({ root, program }: FunctionOptions) {
    const runtime = program ?? fileURLToPath(new URL("./runtime.js", import.meta.url));
    const args = [...process.execArgv, "--expose-gc", runtime, `--root=${root}`, "--addon=none"];
    this.#child = spawn(process.execPath, args, {
      stdio: ["inherit", "inherit", "inherit", "pipe", "pipe"],
      env: { ...process.env, FIRN_BRIDGE_FD: "3", FIRN_GATE_FD: "4" },
    });
    this.exited = new Promise((resolve) => {
      const end = (how: string) => {
        this.#how ??= how;
        this.#wake();
        resolve(how);
      };
      this.#child.once("exit", (code, signal) => end(signal ?? `status ${code}`));
      this.#child.once("error", (error) => end(error.message));
    });
    const decoder = new FrameDecoder();
    this.#bridge.on("data", (chunk: Buffer) => {
      for (const bytes of decoder.push(chunk)) this.#hear(decodeRuntimeReport(bytes));
    });
    // A process that ends leaves what it has not read behind.
    this.#bridge.on("error", () => {});
  }

  /**
   * Starts a function as a deploy and a clone do: import, warm-up and before-snapshot hooks, after-restore hooks.
   *
   * @throws {LoadError} with the function's own stack.
   */
  static async start(options: FunctionOptions): Promise<FunctionProcess> {
    const started = new FunctionProcess(options);
    try {
      await started.#step("runtimeReady");
      const { entry, handler } = options;
      const settings = { functionName: "dev", memoryMib: 1024, readyTimeoutMs: READY_TIMEOUT_MS };
      started.send({ type: "loadFunction", entry, handler, environment: {}, ...settings });
      await started.#step("functionReady");
      started.send({ type: "prepareSnapshot" });
      await started.#step("quiesced");
      started.#gate.write(frame(encodeRuntimeResume({ entropy: randomBytes(64), environment: {} })));
      await started.#step("resumed");
      return started;
    } catch (error) {
      started.close();
      throw error;
    }
  }

  /** Whether it runs. */
  get running(): boolean {
    return this.#how === undefined;
  }

  /** Hears what is reported of one more invocation, whose number this gives. */
  listen(onReport: (report: InvocationReport) => void): number {
    this.#lastId += 1;
    this.#invocations.set(this.#lastId, onReport);
    return this.#lastId;
  }

  send(command: RuntimeCommand): void {
    if (this.running) this.#bridge.write(frame(encodeRuntimeCommand(command)));
  }

  /** Ends the process. */
  close(): void {
    this.#child.kill("SIGKILL");
  }

  get #bridge(): Duplex {
    return this.#child.stdio[3] as unknown as Duplex;
  }

  get #gate(): Duplex {
    return this.#child.stdio[4] as unknown as Duplex;
  }

  #hear(report: RuntimeReport): void {
    switch (report.type) {
      case "responseHead":
      case "payloadChunk":
      case "credit":
      case "invokeEnd":
        this.#invocations.get(report.id)?.(report);
        if (report.type === "invokeEnd") this.#invocations.delete(report.id);
        break;
      default:
        this.#steps.push(report);
        this.#wake();
    }
  }

  async #step(type: RuntimeReport["type"]): Promise<void> {
    for (;;) {
      const report = this.#steps.shift();
      if (report?.type === type) return;
      if (report?.type === "functionFailed") throw new LoadError(report.stack || report.message);
      if (report !== undefined) throw new LoadError(`The runtime said ${report.type} in place of ${type}.`);
      if (this.#how !== undefined) throw new LoadError(`The function's process has ended: ${this.#how}.`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
