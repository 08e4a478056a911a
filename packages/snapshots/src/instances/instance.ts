import type { Microvm, Statistics, WorkingSetOptions, WorkingSetReport } from "@firn/vmm";
import { withDeadline } from "../deadline.ts";
import type { Deadlines } from "../deadlines.ts";
import { errorCode, SnapshotError } from "../errors.ts";
import type { SnapshotManifest } from "../store/manifest.ts";
import type { LocatedSnapshot } from "../store/snapshot-reader.ts";
import type { AgentConnection } from "./agent-connection.ts";
import { type Exchange, invokeMessage } from "./exchange.ts";
import type { InvokeRequest, InvokeResponse, Phase, StartMode } from "./invocation.ts";
import { type ConsoleTail, explainFailure } from "./microvm-failure.ts";
import {
  type InstanceOrigin,
  notSnapshottable,
  pauseMicrovm,
  resumeMicrovm,
  type SnapshotInstanceOptions,
  snapshotInstance,
} from "./snapshot-instance.ts";

/** The number of the first invocation of an instance. */
export const FIRST_INVOCATION = 1;

/** A microVM in which a function is loaded. It is of no more use once a request has failed in it. */
export class Instance implements AsyncDisposable {
  readonly mode: StartMode;
  /** How long the steps of the start took, in order. */
  readonly phases: readonly Phase[];
  /** Process id of the VMM. */
  readonly pid: number;
  /** Resolves when the microVM has ended, for whatever reason; never rejects. */
  readonly exited: Promise<unknown>;
  readonly #vm: Microvm;
  readonly #agent: AgentConnection;
  readonly #deadlines: Deadlines;
  readonly #console: ConsoleTail;
  readonly #origin: InstanceOrigin | undefined;
  readonly #startClone: StartClone | undefined;
  #paused = false;
  readonly #concurrency: number;
  #lastId = FIRST_INVOCATION;
  #serving = 0;
  #usable = true;

  constructor(parts: {
    vm: Microvm;
    agent: AgentConnection;
    mode: StartMode;
    phases: readonly Phase[];
    deadlines: Deadlines;
    console: ConsoleTail;
    /** Absent for an instance that cannot be snapshotted. */
    origin?: InstanceOrigin | undefined;
    startClone?: StartClone | undefined;
    concurrency: number;
  }) {
    this.#vm = parts.vm;
    this.#agent = parts.agent;
    this.#deadlines = parts.deadlines;
    this.#console = parts.console;
    this.#origin = parts.origin;
    this.#startClone = parts.startClone;
    this.#concurrency = parts.concurrency;
    this.mode = parts.mode;
    this.phases = parts.phases;
    this.pid = parts.vm.pid;
    this.exited = parts.vm.exited.then(() => {
      this.#usable = false;
    });
    void this.#agent.ended.then(() => {
      this.#usable = false;
      if (this.#serving === 0) this.close().catch(() => {});
    });
  }

  /** Whether it can take a request now: it serves fewer than it may at a time. */
  get idle(): boolean {
    return this.#usable && !this.#paused && this.#serving < this.#concurrency;
  }

  /** Whether it can serve once it is idle. */
  get usable(): boolean {
    return this.#usable;
  }

  /**
   * Calls the function.
   *
   * @param options.signal When it aborts, the function is told so; the instance stays usable if the function gives up in time.
   * @throws {SnapshotError} FIRN_INSTANCE_ENDED if the instance is busy or has ended: the function was not called. FIRN_INVOKE_TIMEOUT
   *   if the microVM had to be killed, FIRN_ABORTED, FIRN_AGENT_DISCONNECTED, FIRN_AGENT_PROTOCOL.
   */
  async invoke(request: InvokeRequest, options: { signal?: AbortSignal } = {}): Promise<InvokeResponse> {
    this.#lastId += 1;
    const id = this.#lastId;
    return this.#run(request, options.signal, () => {
      const exchange = this.#agent.exchange(id, request);
      this.#agent.send(invokeMessage(id, request));
      return exchange;
    });
  }

  /**
   * Waits for the answer to an invocation that was in the guest's queue from the start.
   *
   * @param exchange The connection's exchange for it, begun before the guest could have answered.
   */
  firstResponse(
    request: InvokeRequest,
    exchange: Exchange,
    options: { signal?: AbortSignal } = {},
  ): Promise<InvokeResponse> {
    return this.#run(request, options.signal, () => exchange);
  }

  async #run(
    request: InvokeRequest,
    signal: AbortSignal | undefined,
    start: () => Exchange,
  ): Promise<InvokeResponse> {
    if (!this.idle) throw busyOrEnded();
    this.#serving += 1;
    const { graceMs } = this.#deadlines;
    const started = performance.now();
    let cancel = () => {};
    try {
      const exchange = start();
      cancel = () => exchange.cancel();
      signal?.addEventListener("abort", cancel, { once: true });
      if (signal?.aborted) cancel();
      const result = exchange.response;
      const response = await withDeadline(
        "the function's answer",
        { timeoutMs: request.timeoutMs + graceMs },
        () => (signal === undefined ? result : Promise.race([result, this.#afterAbort(signal, graceMs)])),
      );
      // The guest answers for a function that is late, but cannot stop what it left running.
      if (performance.now() - started >= request.timeoutMs && response.functionError !== "")
        this.#usable = false;
      return response;
    } catch (error) {
      this.#usable = false;
      if (errorCode(error) === "FIRN_TIMEOUT") {
        throw new SnapshotError(
          "FIRN_INVOKE_TIMEOUT",
          `The function did not answer within ${request.timeoutMs} ms. Its microVM was stopped.`,
          { cause: error },
        );
      }
      throw await explainFailure(error, this.#vm, this.#console);
    } finally {
      signal?.removeEventListener("abort", cancel);
      this.#serving -= 1;
      if (!this.#usable && this.#serving === 0) this.close().catch(() => {});
    }
  }

  /** Rejects if the function has not given up some time after the caller did. */
  #afterAbort(signal: AbortSignal, graceMs: number): Promise<never> {
    return new Promise((_, reject) => {
      const giveUp = () => {
        const error = new SnapshotError("FIRN_ABORTED", "The caller gave up on the invocation.", {
          cause: signal.reason,
        });
        setTimeout(() => reject(error), graceMs).unref();
      };
      if (signal.aborted) giveUp();
      else signal.addEventListener("abort", giveUp, { once: true });
    });
  }

  /**
   * Publishes a snapshot of this instance, which goes on: a `diff` on top of what it was started from, or a `full` one if it was booted.
   * No invocation may be under way. Hooks of the function run before and after.
   *
   * @throws {SnapshotError} FIRN_SNAPSHOT_REFUSED if it was not started as `snapshottable`, FIRN_TIMEOUT, FIRN_ABORTED and others, after
   *   which the instance has ended.
   * @throws {FunctionFailedError} if a hook fails.
   */
  snapshot(options: SnapshotInstanceOptions = {}): Promise<SnapshotManifest> {
    const origin = this.#origin;
    if (origin === undefined) return Promise.reject(notSnapshottable());
    const { snapshotMs, resumeMs } = this.#deadlines;
    const deadlines = {
      snapshot: { timeoutMs: snapshotMs, signal: options.signal },
      resume: { timeoutMs: resumeMs },
    };
    return this.#alone(() => snapshotInstance(this.#vm, this.#agent, origin, deadlines, options));
  }

  /**
   * Starts clones of this instance as it is now, each with random numbers and a scratch disk of its own. The instance goes on. The
   * snapshot that the clones come from is not kept.
   *
   * @throws {SnapshotError} As {@link snapshot}. If a clone cannot be started, there is none.
   */
  async fork(count: number, options: { signal?: AbortSignal } = {}): Promise<Instance[]> {
    const startClone = this.#startClone;
    const origin = this.#origin;
    if (origin === undefined || startClone === undefined) throw notSnapshottable();
    return origin.store.adding(async () => {
      const { digest } = await this.snapshot(options);
      const snapshot = await origin.store.locate(digest);
      const started = await Promise.allSettled(Array.from({ length: count }, () => startClone(snapshot)));
      const clones = started.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
      const failed = started.find((one) => one.status === "rejected");
      if (failed === undefined) return clones;
      await Promise.allSettled(clones.map((clone) => clone.close()));
      throw failed.reason;
    });
  }

  /**
   * Stops the instance: it takes no CPU, and its time stands still. No invocation may be under way. Hooks of the function run before.
   *
   * @throws {SnapshotError} FIRN_TIMEOUT and others, after which the instance has ended.
   */
  async pause(): Promise<void> {
    const deadline = { timeoutMs: this.#deadlines.snapshotMs };
    await this.#alone(() => pauseMicrovm(this.#vm, this.#agent, deadline));
    this.#paused = true;
  }

  /** Lets the instance go on after {@link pause}, with the right time and new random numbers. */
  async resume(): Promise<void> {
    if (!this.#paused) return;
    this.#paused = false;
    const deadline = { timeoutMs: this.#deadlines.resumeMs };
    await this.#alone(() => resumeMicrovm(this.#vm, this.#agent, deadline));
  }

  /** Runs a step while nothing else may; if it fails, the instance is of no more use. */
  async #alone<T>(step: () => Promise<T>): Promise<T> {
    if (!this.idle || this.#serving > 0) throw busyOrEnded();
    this.#serving = this.#concurrency;
    try {
      return await step();
    } catch (error) {
      this.#usable = false;
      const reason = await explainFailure(error, this.#vm, this.#console);
      this.close().catch(() => {});
      throw reason;
    } finally {
      this.#serving = 0;
    }
  }

  /** Counters of the VMM process. */
  statistics(): Promise<Statistics> {
    return this.#vm.statistics();
  }

  /**
   * Stops the microVM and writes down which memory it has written since it was restored. It is of no more use afterwards.
   *
   * @throws {FirnVmmError} as `Microvm.recordWorkingSet`.
   */
  async recordWorkingSet(options: WorkingSetOptions): Promise<WorkingSetReport> {
    this.#usable = false;
    await this.#vm.pause();
    return this.#vm.recordWorkingSet(options);
  }

  /** Ends the microVM at once. Resolves when its process is gone; may be called more than once. */
  async close(): Promise<void> {
    this.#usable = false;
    this.#agent.close();
    await this.#origin?.scratch?.[Symbol.asyncDispose]();
    await this.#vm.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Starts one more instance of a snapshot, as the first one was started. */
type StartClone = (snapshot: LocatedSnapshot) => Promise<Instance>;

function busyOrEnded(): SnapshotError {
  return new SnapshotError("FIRN_INSTANCE_ENDED", "The instance is busy, is paused, or has ended.");
}
