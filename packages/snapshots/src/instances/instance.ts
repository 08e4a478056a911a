import type { Microvm, MissesOptions, Statistics, WorkingSetOptions, WorkingSetReport } from "@firn/vmm";
import { withDeadline } from "../deadline.ts";
import type { Deadlines } from "../deadlines.ts";
import { errorCode, SnapshotError } from "../errors.ts";
import type { SnapshotManifest } from "../store/manifest.ts";
import type { LocatedSnapshot } from "../store/snapshot-reader.ts";
import type { AgentConnection } from "./agent-connection.ts";
import { type Exchange, invokeMessage } from "./exchange.ts";
import type { InvokeOutcome, InvokeRequest, InvokeResponse, Phase, StartMode } from "./invocation.ts";
import { type ConsoleTail, explainFailure } from "./microvm-failure.ts";
import { ResponseStream } from "./response-stream.ts";
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

/** The name of the error of an invocation that the guest gave up, while the function goes on with it. */
const ABANDONED = "Runtime.Abandoned";

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
  #free = Promise.withResolvers<void>();
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

  /** Resolves when no invocation is under way, also one whose caller has had an error. */
  async whenFree(): Promise<void> {
    while (this.#serving > 0) await this.#free.promise;
  }

  /**
   * Calls the function, and waits for all of its response.
   *
   * @param options.signal When it aborts, the function is told so. What it makes of that is its response: a fetch handler that does not
   *   stop is given up soon, a handler of events goes on until its end or its timeout.
   * @throws {SnapshotError} FIRN_INSTANCE_ENDED if the instance is busy or has ended: the function was not called. FIRN_INVOKE_TIMEOUT
   *   if the microVM had to be killed, FIRN_AGENT_DISCONNECTED, FIRN_AGENT_PROTOCOL.
   */
  async invoke(request: InvokeRequest, options: { signal?: AbortSignal } = {}): Promise<InvokeResponse> {
    return (await this.invokeStream(request, options)).whole();
  }

  /**
   * Calls the function; resolves when its response begins. The instance serves this request until `ended` of the response settles.
   *
   * @param options As of {@link invoke}.
   * @throws {SnapshotError} As {@link invoke}; so does the response's body, if the instance fails later.
   */
  async invokeStream(
    request: InvokeRequest,
    options: { signal?: AbortSignal } = {},
  ): Promise<ResponseStream> {
    this.#lastId += 1;
    const id = this.#lastId;
    return this.#open(request, options.signal, () => {
      const exchange = this.#agent.exchange(id, request);
      this.#agent.send(invokeMessage(id, request));
      return exchange;
    });
  }

  /**
   * Waits for the response to an invocation that was in the guest's queue from the start.
   *
   * @param exchange The connection's exchange for it, begun before the guest could have answered.
   */
  firstResponse(
    request: InvokeRequest,
    exchange: Exchange,
    options: { signal?: AbortSignal } = {},
  ): Promise<ResponseStream> {
    return this.#open(request, options.signal, () => exchange);
  }

  async #open(
    request: InvokeRequest,
    signal: AbortSignal | undefined,
    start: () => Exchange,
  ): Promise<ResponseStream> {
    if (!this.idle) throw busyOrEnded();
    this.#serving += 1;
    const begun = Promise.withResolvers<Exchange>();
    const ended = this.#serve(request, signal, start, begun.resolve);
    ended.catch((error: unknown) => begun.reject(error));
    const exchange = await begun.promise;
    return new ResponseStream(exchange, await exchange.opened, ended);
  }

  /** Serves one request to its end, whoever reads the response. */
  async #serve(
    request: InvokeRequest,
    signal: AbortSignal | undefined,
    start: () => Exchange,
    onBegun: (exchange: Exchange) => void,
  ): Promise<InvokeOutcome> {
    const { graceMs } = this.#deadlines;
    const started = performance.now();
    let exchange: Exchange | undefined;
    const cancel = () => exchange?.cancel();
    try {
      exchange = start();
      onBegun(exchange);
      signal?.addEventListener("abort", cancel, { once: true });
      if (signal?.aborted) cancel();
      const { ended } = exchange;
      const deadline = { timeoutMs: request.timeoutMs + graceMs };
      const outcome = await withDeadline("the end of an invocation", deadline, () => ended);
      // The guest answers for a function that is late, but cannot stop what it left running.
      const isLate = performance.now() - started >= request.timeoutMs;
      if (outcome.functionError !== "" && (isLate || outcome.errorType === ABANDONED)) this.#usable = false;
      return outcome;
    } catch (error) {
      this.#usable = false;
      const reason = await this.#reasonOf(error, request);
      exchange?.breakOff(reason);
      throw reason;
    } finally {
      signal?.removeEventListener("abort", cancel);
      this.#serving -= 1;
      this.#free.resolve();
      this.#free = Promise.withResolvers();
      if (!this.#usable && this.#serving === 0) this.close().catch(() => {});
    }
  }

  async #reasonOf(error: unknown, { timeoutMs }: InvokeRequest): Promise<unknown> {
    if (errorCode(error) !== "FIRN_TIMEOUT") return explainFailure(error, this.#vm, this.#console);
    const text = `The function did not answer within ${timeoutMs} ms. Its microVM was stopped.`;
    return new SnapshotError("FIRN_INVOKE_TIMEOUT", text, { cause: error });
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

  /**
   * Writes down which memory the microVM of a diff has written since it was restored that the snapshot's working set did not name. It goes on
   * serving.
   *
   * @throws {FirnVmmError} as `Microvm.recordMisses`.
   */
  recordMisses(options: MissesOptions): Promise<WorkingSetReport> {
    return this.#vm.recordMisses(options);
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
