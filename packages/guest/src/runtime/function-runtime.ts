import type { Invoke, LoadFunction, RuntimeCommand } from "@firn/protocol";
import type { Addon } from "./addon.ts";
import { Bridge } from "./bridge.ts";
import { collectGarbage } from "./collect-garbage.ts";
import { FunctionError, messageOf, stackOf } from "./function-error.ts";
import { waitAtGate } from "./gate.ts";
import type { Handler } from "./handler.ts";
import { Hooks } from "./hooks.ts";
import { errorResult, Invocations } from "./invocations.ts";
import { loadHandler } from "./load.ts";
import { Uniqueness } from "./uniqueness/uniqueness.ts";
import { warmUpRuntime } from "./warm-up.ts";

/** Time to get ready when the host does not say, in milliseconds. */
const DEFAULT_READY_MS = 60_000;

/** Time for the report of an error to leave before the process ends, in milliseconds. */
const EXIT_DELAY_MS = 50;

/** The life of one function in this process: load, snapshot, resume, invoke. */
export class FunctionRuntime {
  /** What the function registered. */
  readonly hooks = new Hooks();
  readonly #bridge: Bridge;
  readonly #gate: number;
  readonly #root: string;
  readonly #addon: Addon;
  readonly #uniqueness: Uniqueness;
  readonly #invocations = new Invocations();
  #loaded: { readonly load: LoadFunction; readonly handler: Handler } | undefined;
  /** Rejects the load that is under way. */
  #failLoad: ((error: FunctionError) => void) | undefined;
  /** Why the function cannot answer, since its hooks failed after a restore. */
  #broken: unknown;

  constructor(bridge: number, gate: number, root: string, addon: Addon, workerPreload: string) {
    this.#gate = gate;
    this.#root = root;
    this.#addon = addon;
    this.#uniqueness = Uniqueness.install(addon, workerPreload);
    this.#bridge = new Bridge(
      bridge,
      (command) => this.#handle(command),
      (error) => {
        if (error !== undefined) console.error(error);
        process.exit(error === undefined ? 0 : 1);
      },
    );
  }

  /** Tells the agent that a function may be loaded, and listens. */
  start(): void {
    process.on("unhandledRejection", (reason) => this.#onUncaught(reason, true));
    process.on("uncaughtException", (error) => this.#onUncaught(error, false));
    void this.#bridge.send({ type: "runtimeReady", runtime: `node ${process.versions.node}` });
  }

  #handle(command: RuntimeCommand): void {
    switch (command.type) {
      case "loadFunction":
        void this.#load(command);
        break;
      case "prepareSnapshot":
        void this.#snapshot();
        break;
      case "invoke":
        void this.#invoke(command);
        break;
      case "cancelInvoke":
        this.#invocations.cancel(command.id);
        break;
    }
  }

  async #load(load: LoadFunction): Promise<void> {
    const limit = load.readyTimeoutMs === 0 ? DEFAULT_READY_MS : load.readyTimeoutMs;
    const failed = Promise.withResolvers<never>();
    this.#failLoad = failed.reject;
    const timer = setTimeout(() => {
      const message = `The function did not get ready within ${limit} milliseconds: call ready(), or raise the limit.`;
      failed.reject(new FunctionError("FIRN_FUNCTION_NOT_READY", message));
    }, limit);
    try {
      await Promise.race([this.#becomeReady(load), failed.promise]);
      await this.#bridge.send({ type: "functionReady" });
    } catch (error) {
      await this.#reportFailure(error, "FIRN_FUNCTION_IMPORT");
    } finally {
      clearTimeout(timer);
      this.#failLoad = undefined;
    }
  }

  async #becomeReady(load: LoadFunction): Promise<void> {
    const handler = await loadHandler(load, this.#root);
    await this.hooks.becomeReady();
    this.#loaded = { load, handler };
  }

  async #snapshot(): Promise<void> {
    try {
      if (this.#loaded === undefined) await warmUpRuntime();
      await this.hooks.runBeforeSnapshot();
      await this.#uniqueness.beforeSnapshot();
      await collectGarbage();
      this.#addon.releaseFreeMemory();
    } catch (error) {
      await this.#reportFailure(error, "FIRN_FUNCTION_HOOK");
      return;
    }
    await this.#bridge.send({ type: "quiesced" });
    this.#passGate();
    try {
      await this.hooks.runAfterRestore();
      this.#broken = undefined;
    } catch (error) {
      this.#broken = error;
      await this.#reportFailure(error, "FIRN_FUNCTION_HOOK");
    }
    await this.#bridge.send({ type: "resumed" });
  }

  /** The snapshot happens in here. Nothing else runs in a clone before it is somebody else. */
  #passGate(): void {
    try {
      this.#uniqueness.holdBreath();
      this.#uniqueness.afterRestore(waitAtGate(this.#gate));
    } catch (error) {
      // Without a seed of its own this process must not serve.
      console.error(error);
      process.exit(1);
    }
  }

  async #invoke(invoke: Invoke): Promise<void> {
    if (this.#broken !== undefined || this.#loaded === undefined) {
      const error = this.#broken ?? new Error("No function is loaded: send LoadFunction first.");
      await this.#bridge.send({ type: "invokeResult", ...errorResult(invoke.id, error) });
      return;
    }
    const result = await this.#invocations.run(invoke, this.#loaded.handler, this.#loaded.load);
    try {
      await this.#bridge.send({ type: "invokeResult", ...result });
    } catch (error) {
      // Longer than a frame, or a status that is no number: the function's fault, and its invocation's error.
      await this.#bridge.send({ type: "invokeResult", ...errorResult(invoke.id, error) });
    }
  }

  async #reportFailure(error: unknown, code: FunctionError["code"]): Promise<void> {
    const failure =
      error instanceof FunctionError ? error : new FunctionError(code, messageOf(error), { cause: error });
    await this.#bridge.send({ type: "functionFailed", ...failure.toReport() });
  }

  /** An error that nobody caught: of an invocation, of the import, or of something that the function left running. */
  #onUncaught(error: unknown, isRejection: boolean): void {
    console.error(stackOf(error) || messageOf(error));
    const concernsInvocation = this.#invocations.failCurrent(error);
    this.#failLoad?.(new FunctionError("FIRN_FUNCTION_IMPORT", messageOf(error), { cause: error }));
    if (isRejection) return;
    // The process is in an unknown state after an uncaught exception; let the report leave first.
    if (concernsInvocation || this.#failLoad !== undefined) setTimeout(() => process.exit(1), EXIT_DELAY_MS);
    else process.exit(1);
  }
}
