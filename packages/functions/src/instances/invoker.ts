import {
  errorCode,
  type GuestLogLine,
  type InvokeRequest,
  type InvokeResponse,
  type Phase,
  type ResponseStream,
  type StartMode,
} from "@firn/snapshots";
import { type FunctionRecord, isSameVersion } from "../catalog/function-record.ts";
import { errorFields } from "../error-fields.ts";
import { FunctionsError } from "../errors.ts";
import type { FunctionHost } from "../function-host.ts";
import { failureOf } from "./function-failure.ts";
import type { InstancePool, PooledInstance, Slot } from "./instance-pool.ts";
import { ReplayableBody } from "./replayable-body.ts";

/** Which start a caller wants: `auto` takes a waiting instance, else starts cold. */
export type WantedStart = "auto" | "warm" | "cold" | "base" | "regular";

/** How an invocation came about. */
interface Started {
  /** How it was started: `cold` is base + diff. */
  readonly start: Exclude<WantedStart, "auto">;
  readonly recoveredFrom: string | undefined;
  /** Steps in order, and their `total` last. */
  readonly phases: readonly Phase[];
}

/** How an invocation went. */
export interface Invocation extends Started {
  readonly response: InvokeResponse;
  /** Counters of the VMM process after the response, if they were asked for. */
  readonly statistics: Record<string, unknown> | undefined;
}

/** An invocation whose response the function writes piece by piece; its steps are those until the response began. */
export interface StreamedInvocation extends Started {
  readonly stream: ResponseStream;
}

/** An invocation whose response has begun, and that holds its instance. */
interface Opened extends Started {
  readonly pooled: PooledInstance;
  readonly response: ResponseStream;
  readonly began: number;
  /** Lets the instance go when the invocation has ended; resolves when that has been done. */
  readonly release: () => Promise<void>;
}

/** How to invoke. */
export interface InvokeOptions {
  readonly start: WantedStart;
  readonly wantStatistics: boolean;
  readonly signal?: AbortSignal;
  /** Told the lines that are written while the invocation runs; they are logged as well. */
  readonly onLog?: (line: GuestLogLine) => void;
}

/** Where it is told how invocations go and what functions write; a pino logger is one. */
export interface InvocationLog {
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
}

const START_NAMES = { diff: "cold", base: "base", regular: "regular" } as const;
const MODES = { cold: "diff", auto: "diff", base: "base", regular: "regular" } as const;

/** Answers requests with instances: a waiting one if there is one, else one that is started for it. */
export class Invoker {
  readonly #host: FunctionHost;
  readonly #pool: InstancePool;
  readonly #log: InvocationLog;
  readonly #guestConsole: boolean;
  /** By request id: who wants to hear what is written meanwhile. */
  readonly #listeners = new Map<string, (line: GuestLogLine) => void>();

  constructor(parts: { host: FunctionHost; pool: InstancePool; log: InvocationLog; guestConsole: boolean }) {
    this.#host = parts.host;
    this.#pool = parts.pool;
    this.#log = parts.log;
    this.#guestConsole = parts.guestConsole;
    this.#host.onChange((name) => this.#pool.evict(name, this.#host.catalog.find(name)));
  }

  /**
   * Invokes a function, and waits for all of its response.
   *
   * @throws {FunctionsError} FIRN_NO_IDLE_INSTANCE if a warm start is wanted and nobody waits, FIRN_TOO_MANY_INSTANCES.
   * @throws {Error} What `FunctionHost.start` and `Instance.invoke` throw.
   */
  async invoke(name: string, request: InvokeRequest, options: InvokeOptions): Promise<Invocation> {
    return this.#whole(name, request, options, await this.#open(name, request, options));
  }

  /**
   * Invokes a function. A response that the function writes piece by piece is there when it has begun: whoever does not read all of it cancels its
   * body. Any other one is waited for.
   *
   * @throws {Error} As {@link invoke}.
   */
  async invokeStream(
    name: string,
    request: InvokeRequest,
    options: InvokeOptions,
  ): Promise<Invocation | StreamedInvocation> {
    const opened = await this.#open(name, request, options);
    if (!opened.response.streams) return this.#whole(name, request, options, opened);
    const { response, start, recoveredFrom, phases, began, release } = opened;
    this.#follow(name, request, opened);
    void release();
    return { stream: response, start, recoveredFrom, phases: withTotal(phases, began) };
  }

  async #whole(
    name: string,
    request: InvokeRequest,
    options: InvokeOptions,
    opened: Opened,
  ): Promise<Invocation> {
    const { pooled, start, recoveredFrom, began, release } = opened;
    try {
      const waiting = performance.now();
      const response = await opened.response.whole();
      const phases = withTotal(longer(opened.phases, performance.now() - waiting), began);
      this.#logEnd(name, request, { start, phases }, response.functionError, failureIn(response));
      const statistics = options.wantStatistics ? await this.#statistics(pooled) : undefined;
      const released = release();
      // With its report the invocation has ended. Without, its function works on.
      if (response.report !== undefined) await released;
      else this.#follow(name, request, opened);
      return { response, start, recoveredFrom, phases, statistics };
    } catch (error) {
      void release();
      this.#logFailure(name, request, options.start, error);
      throw error;
    }
  }

  /** Begins an invocation. */
  async #open(name: string, request: InvokeRequest, options: InvokeOptions): Promise<Opened> {
    const { start } = options;
    const record = this.#host.get(name);
    const began = performance.now();
    const { requestId, rest } = request;
    if (options.onLog !== undefined) this.#listeners.set(requestId, options.onLog);
    const sent = rest === undefined ? request : { ...request, rest: new ReplayableBody(rest) };
    try {
      const opened =
        (await this.#openIdle(record, sent, options, began)) ??
        (await this.#openNew(record, sent, MODES[start as keyof typeof MODES], options, began));
      const release = () => opened.release().finally(() => this.#listeners.delete(requestId));
      return { ...opened, release };
    } catch (error) {
      this.#listeners.delete(requestId);
      this.#logFailure(name, request, start, error);
      throw error;
    }
  }

  /** Gives a request to a waiting instance, if one is wanted and there is one. */
  async #openIdle(
    record: FunctionRecord,
    request: InvokeRequest,
    options: InvokeOptions,
    began: number,
  ): Promise<Opened | undefined> {
    const { start } = options;
    if (start !== "auto" && start !== "warm") return undefined;
    for (;;) {
      const idle = this.#pool.takeIdle(record);
      if (idle === undefined) break;
      const { pooled, slot } = idle;
      try {
        const response = await pooled.instance.invokeStream(request, signalOf(options));
        const phases = [{ name: "invoke", milliseconds: performance.now() - began }];
        const release = () => this.#releaseAfter(response.ended, slot, pooled, true);
        return { pooled, response, start: "warm", recoveredFrom: undefined, phases, began, release };
      } catch (error) {
        void this.#releaseAfter(pooled.instance.whenFree(), slot, pooled, true);
        // It ended before it was given the request, which another one can have.
        if (errorCode(error) !== "FIRN_INSTANCE_ENDED") throw error;
      }
    }
    if (start === "auto") return undefined;
    throw new FunctionsError(
      "FIRN_NO_IDLE_INSTANCE",
      `No instance of function ${record.name} waits for a request. Invoke it without X-Firn-Start: warm first.`,
    );
  }

  async #openNew(
    record: FunctionRecord,
    request: InvokeRequest,
    mode: StartMode,
    options: InvokeOptions,
    began: number,
  ): Promise<Opened> {
    const slot = this.#pool.reserve(record.name);
    // One that was asked to be started in another way than the usual is only for measuring.
    const isUsual = options.start === "auto" || options.start === "cold";
    let pooled: PooledInstance | undefined;
    try {
      const started = await this.#host.start(record.name, mode, {
        ...signalOf(options),
        firstRequest: request,
        console: this.#guestConsole,
        onLog: (line) => this.#logLine(record.name, line),
      });
      const { instance, recoveredFrom } = started;
      const kept = { instance, record: started.record };
      pooled = kept;
      const answering = performance.now();
      const response = await (started.firstResponse as Promise<ResponseStream>);
      const phases = [...instance.phases, { name: "invoke", milliseconds: performance.now() - answering }];
      const release = () => this.#releaseAfter(response.ended, slot, kept, isUsual);
      return { pooled, response, start: START_NAMES[instance.mode], recoveredFrom, phases, began, release };
    } catch (error) {
      const free = pooled?.instance.whenFree() ?? Promise.resolve();
      void this.#releaseAfter(free, slot, pooled, isUsual);
      throw error;
    }
  }

  async #releaseAfter(
    ended: Promise<unknown>,
    slot: Slot,
    pooled: PooledInstance | undefined,
    keep: boolean,
  ): Promise<void> {
    await ended.catch(() => {});
    this.#release(slot, pooled, keep);
  }

  #release(slot: Slot, pooled: PooledInstance | undefined, keep: boolean): void {
    if (pooled !== undefined && keep && this.#isCurrent(pooled.record)) this.#pool.leave(slot, pooled);
    else this.#pool.discard(slot, pooled?.instance);
  }

  /** Logs how an invocation ends that goes on when its caller has been answered. */
  #follow(name: string, request: InvokeRequest, { response, start, phases, began }: Opened): void {
    response.ended.then(
      ({ functionError, errorType, errorMessage }) => {
        const failure = errorType === "" ? {} : { errorType, errorMessage };
        this.#logEnd(name, request, { start, phases: withTotal(phases, began) }, functionError, failure);
      },
      (error: unknown) => this.#logFailure(name, request, start, error),
    );
  }

  #logEnd(
    name: string,
    { requestId }: InvokeRequest,
    { start, phases }: Pick<Started, "start" | "phases">,
    functionError: string,
    failure: object,
  ): void {
    const milliseconds = Object.fromEntries(phases.map((phase) => [phase.name, round(phase.milliseconds)]));
    this.#log.info({ function: name, requestId, start, milliseconds, functionError, ...failure }, "invoked");
  }

  #logFailure(name: string, { requestId }: InvokeRequest, start: WantedStart, error: unknown): void {
    this.#log.warn({ function: name, requestId, ...errorFields(error), start }, "invocation failed");
  }

  async #statistics({ instance, record }: PooledInstance): Promise<Record<string, unknown> | undefined> {
    try {
      const storeBytes = await this.#host.storeBytes(record, instance.mode);
      return { ...(await instance.statistics()), storeBytes, appImageBytes: record.app.size };
    } catch (error) {
      this.#log.warn({ ...errorFields(error), function: record.name }, "no statistics");
      return undefined;
    }
  }

  #isCurrent(record: FunctionRecord): boolean {
    return isSameVersion(record, this.#host.catalog.find(record.name));
  }

  #logLine(name: string, line: GuestLogLine): void {
    const { stream, text, level, requestId } = line;
    const whose = requestId === undefined ? {} : { requestId };
    this.#log.info({ function: name, ...whose, stream, logLevel: level }, text);
    if (requestId !== undefined) this.#listeners.get(requestId)?.(line);
  }
}

function failureIn({ functionError, payload }: InvokeResponse): object {
  return functionError === "" ? {} : failureOf(payload);
}

/** The steps, the last of which has taken longer. */
function longer(phases: readonly Phase[], more: number): Phase[] {
  return phases.map((phase, index) =>
    index === phases.length - 1 ? { ...phase, milliseconds: phase.milliseconds + more } : phase,
  );
}

function withTotal(phases: readonly Phase[], began: number): Phase[] {
  return [...phases, { name: "total", milliseconds: performance.now() - began }];
}

function signalOf({ signal }: InvokeOptions): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}
