import type { Invoke, LoadFunction } from "@firn/protocol";
import type { Addon } from "./addon.ts";
import { Bridge, type Command, type Exchange } from "./bridge.ts";
import { collectGarbage } from "./collect-garbage.ts";
import { errorResult } from "./errors/error-result.ts";
import { InvocationError, unhandledRejection } from "./errors/invocation-errors.ts";
import { logError } from "./errors/log.ts";
import { describeThrown, messageOf } from "./errors/thrown.ts";
import { FunctionError } from "./function-error.ts";
import { waitAtGate } from "./gate.ts";
import type { Handler } from "./handler.ts";
import { Hooks } from "./hooks.ts";
import { Invocations, type Owner } from "./invocations.ts";
import { applyLateEnvironment, nameLogStream } from "./lambda/environment.ts";
import { EventLoop } from "./lambda/event-loop.ts";
import { loadHandler } from "./load.ts";
import { OpenResources } from "./open-resources/open-resources.ts";
import { speakOfSnapshots } from "./startup-snapshot.ts";
import { Uniqueness } from "./uniqueness/uniqueness.ts";
import { warmUpRuntime } from "./warm-up.ts";
import type { Warning } from "./warning.ts";

/** Time to get ready when the host does not say, in milliseconds. */
const DEFAULT_READY_MS = 60_000;

/** The life of one function in this process: load, snapshot, resume, invoke. */
export class FunctionRuntime {
  /** What the function registered. */
  readonly hooks = new Hooks();
  readonly #bridge: Bridge;
  readonly #gate: number;
  readonly #root: string;
  readonly #addon: Addon;
  readonly #uniqueness: Uniqueness;
  readonly #openResources = new OpenResources();
  readonly #endBuilding: () => void;
  readonly #eventLoop: EventLoop;
  readonly #invocations: Invocations;
  /** What is being answered. */
  readonly #work = new Set<Promise<void>>();
  #loaded: { readonly load: LoadFunction; readonly handler: Handler } | undefined;
  /** Rejects the load that is under way. */
  #failLoad: ((error: FunctionError) => void) | undefined;
  /** Why the function cannot answer, since its hooks failed after a restore. */
  #broken: unknown;

  constructor(bridge: number, gate: number, root: string, addon: Addon, workerPreload: string) {
    this.#gate = gate;
    this.#root = root;
    this.#addon = addon;
    this.#uniqueness = Uniqueness.install(addon, workerPreload, () => this.#invocations.currentRehearsal);
    this.#openResources.install();
    this.#endBuilding = speakOfSnapshots(this.hooks);
    this.#bridge = new Bridge(
      bridge,
      (command, exchange) => this.#handle(command, exchange),
      (error) => {
        if (error !== undefined) logError("The bridge to the agent failed", error);
        process.exit(error === undefined ? 0 : 1);
      },
    );
    this.#eventLoop = new EventLoop(this.#bridge);
    this.#invocations = new Invocations(this.#eventLoop);
  }

  /** Id of the invocation whose code runs, also after its end; 0 for none. */
  readonly currentInvocation = (): number => this.#invocations.currentId;

  /** Tells the agent that a function may be loaded, and listens. */
  start(): void {
    process.on("unhandledRejection", (reason) => this.#onRejection(reason));
    process.on("uncaughtException", (error) => void this.#onException(error));
    void this.#bridge.send({ type: "runtimeReady" });
  }

  #handle(command: Command, exchange: Exchange | undefined): void {
    switch (command.type) {
      case "loadFunction":
        this.#track(this.#load(command));
        break;
      case "prepareSnapshot":
        this.#track(this.#snapshot());
        break;
      case "invoke":
        if (exchange !== undefined) this.#track(this.#invoke(command, exchange));
        break;
      case "cancelInvoke":
        this.#invocations.cancel(command.id);
        break;
      case "setEnvironment":
        applyLateEnvironment(command.environment);
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
    this.#uniqueness.watch();
    this.#openResources.start();
    const handler = await loadHandler(load, this.#root);
    await this.hooks.becomeReady();
    this.#loaded = { load, handler };
  }

  async #snapshot(): Promise<void> {
    try {
      if (this.#loaded === undefined) await warmUpRuntime(this.#eventLoop);
      await this.hooks.runBeforeSnapshot();
      await this.#uniqueness.beforeSnapshot();
      await collectGarbage();
      this.#addon.releaseFreeMemory();
    } catch (error) {
      await this.#reportFailure(error, "FIRN_FUNCTION_HOOK");
      return;
    }
    const warnings = this.#loaded === undefined ? [] : this.#warnings();
    await this.#bridge.send({ type: "quiesced", warnings });
    this.#passGate();
    try {
      await this.hooks.runAfterRestore();
      this.#broken = undefined;
    } catch (error) {
      this.#broken = new InvocationError(
        "Runtime.AfterRestoreError",
        messageOf(error),
        describeThrown(error).trace,
      );
      await this.#reportFailure(error, "FIRN_FUNCTION_HOOK");
    }
    await this.#bridge.send({ type: "resumed" });
  }

  /** What the function should know of a snapshot that is taken now. */
  #warnings(): Warning[] {
    return [...this.#uniqueness.warnings(), ...this.#openResources.warnings()];
  }

  /** The snapshot happens in here. Nothing else runs in a clone before it is somebody else. */
  #passGate(): void {
    try {
      this.#uniqueness.holdBreath();
      const { entropy, environment } = waitAtGate(this.#gate);
      this.#uniqueness.afterRestore(entropy);
      applyLateEnvironment(environment);
      if (this.#loaded === undefined) return;
      this.#openResources.stop();
      this.#endBuilding();
      nameLogStream();
    } catch (error) {
      // Without a seed of its own this process must not serve.
      logError("The process cannot go on", error);
      process.exit(1);
    }
  }

  async #invoke(invoke: Invoke, { payload, reply }: Exchange): Promise<void> {
    try {
      if (this.#broken === undefined && this.#loaded !== undefined) {
        if (invoke.rehearsal) this.#uniqueness.beginRehearsal(invoke.requestId);
        await this.#invocations.run({ invoke, payload, reply, ...this.#loaded });
        return;
      }
      const error = this.#broken ?? new Error("No function is loaded: send LoadFunction first.");
      const result = errorResult(invoke.id, error);
      await reply.whole(result, result.payload);
      await reply.end(result.functionError);
    } finally {
      this.#bridge.forget(invoke.id);
    }
  }

  async #reportFailure(error: unknown, code: FunctionError["code"]): Promise<void> {
    const failure =
      error instanceof FunctionError ? error : new FunctionError(code, messageOf(error), { cause: error });
    await this.#bridge.send({ type: "functionFailed", ...failure.toReport() });
  }

  /** A promise was rejected and nobody waits for it. */
  #onRejection(reason: unknown): void {
    const error = unhandledRejection(reason);
    this.#logUncaught("A promise was rejected, and nobody caught it", reason, this.#invocations.blame(error));
    this.#failLoad?.(new FunctionError("FIRN_FUNCTION_IMPORT", messageOf(reason), { cause: reason }));
  }

  /** The process is in an unknown state after an uncaught exception: it ends when what it works at is answered. */
  async #onException(error: unknown): Promise<void> {
    this.#logUncaught(
      "An exception was not caught, and ends the process",
      error,
      this.#invocations.blame(error),
    );
    this.#failLoad?.(new FunctionError("FIRN_FUNCTION_IMPORT", messageOf(error), { cause: error }));
    while (this.#work.size > 0) await Promise.allSettled(this.#work);
    process.exit(1);
  }

  #logUncaught(what: string, error: unknown, owner: Owner | undefined): void {
    const whose = owner === undefined ? "" : `, of request ${owner.requestId}`;
    // The invocation's own error is logged with its result.
    if (owner?.wasRunning !== true)
      logError(`${what}${whose}${owner === undefined ? "" : ", which had ended"}`, error);
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }
}
