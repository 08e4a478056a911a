import {
  errorCode,
  type GuestLogLine,
  type InvokeRequest,
  type InvokeResponse,
  type Phase,
  type StartMode,
} from "@firn/snapshots";
import { type FunctionRecord, isSameVersion } from "../catalog/function-record.ts";
import { errorFields } from "../error-fields.ts";
import { FunctionsError } from "../errors.ts";
import type { FunctionHost } from "../function-host.ts";
import { failureOf } from "./function-failure.ts";
import type { InstancePool, PooledInstance } from "./instance-pool.ts";

/** Which start a caller wants: `auto` takes a waiting instance, else starts cold. */
export type WantedStart = "auto" | "warm" | "cold" | "base" | "regular";

/** How an invocation went. */
export interface Invocation {
  readonly response: InvokeResponse;
  /** How it was started: `cold` is base + diff. */
  readonly start: Exclude<WantedStart, "auto">;
  readonly recoveredFrom: string | undefined;
  /** Steps in order, and their `total` last. */
  readonly phases: readonly Phase[];
  /** Counters of the VMM process after the response, if they were asked for. */
  readonly statistics: Record<string, unknown> | undefined;
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
   * Invokes a function.
   *
   * @throws {FunctionsError} FIRN_NO_IDLE_INSTANCE if a warm start is wanted and nobody waits, FIRN_TOO_MANY_INSTANCES.
   * @throws {Error} What `FunctionHost.start` and `Instance.invoke` throw.
   */
  async invoke(name: string, request: InvokeRequest, options: InvokeOptions): Promise<Invocation> {
    const { start } = options;
    const record = this.#host.get(name);
    const began = performance.now();
    const about = { function: name, requestId: request.requestId };
    if (options.onLog !== undefined) this.#listeners.set(request.requestId, options.onLog);
    try {
      const invocation =
        (await this.#invokeIdle(record, request, options, began)) ??
        (await this.#invokeNew(record, request, MODES[start as keyof typeof MODES], options, began));
      const { response, phases } = invocation;
      const milliseconds = Object.fromEntries(phases.map((phase) => [phase.name, round(phase.milliseconds)]));
      const failure = response.functionError === "" ? {} : failureOf(response.payload);
      this.#log.info(
        {
          ...about,
          start: invocation.start,
          milliseconds,
          functionError: response.functionError,
          ...failure,
        },
        "invoked",
      );
      return invocation;
    } catch (error) {
      this.#log.warn({ ...about, ...errorFields(error), start }, "invocation failed");
      throw error;
    } finally {
      this.#listeners.delete(request.requestId);
    }
  }

  /** Gives a request to a waiting instance, if one is wanted and there is one. */
  async #invokeIdle(
    record: FunctionRecord,
    request: InvokeRequest,
    options: InvokeOptions,
    began: number,
  ): Promise<Invocation | undefined> {
    const { start } = options;
    if (start !== "auto" && start !== "warm") return undefined;
    for (;;) {
      const idle = this.#pool.takeIdle(record);
      if (idle === undefined) break;
      try {
        return await this.#invokeWaiting(idle.pooled, idle.slot, request, options, began);
      } catch (error) {
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

  async #invokeWaiting(
    pooled: PooledInstance,
    slot: { name: string },
    request: InvokeRequest,
    options: InvokeOptions,
    began: number,
  ): Promise<Invocation> {
    try {
      const response = await pooled.instance.invoke(request, signalOf(options));
      const phases = [{ name: "invoke", milliseconds: performance.now() - began }];
      return await this.#finish(pooled, response, "warm", undefined, phases, options, began);
    } finally {
      if (this.#isCurrent(pooled.record)) this.#pool.leave(slot, pooled);
      else this.#pool.discard(slot, pooled.instance);
    }
  }

  async #invokeNew(
    record: FunctionRecord,
    request: InvokeRequest,
    mode: StartMode,
    options: InvokeOptions,
    began: number,
  ): Promise<Invocation> {
    const slot = this.#pool.reserve(record.name);
    let pooled: PooledInstance | undefined;
    try {
      const started = await this.#host.start(record.name, mode, {
        ...signalOf(options),
        firstRequest: request,
        console: this.#guestConsole,
        onLog: (line) => this.#logLine(record.name, line),
      });
      pooled = { instance: started.instance, record: started.record };
      const answering = performance.now();
      const response = await (started.firstResponse as Promise<InvokeResponse>);
      const phases = [
        ...started.instance.phases,
        { name: "invoke", milliseconds: performance.now() - answering },
      ];
      const start = START_NAMES[started.instance.mode];
      return await this.#finish(pooled, response, start, started.recoveredFrom, phases, options, began);
    } finally {
      // One that was asked to be started in another way than the usual is only for measuring.
      const usual = options.start === "auto" || options.start === "cold";
      const keep = pooled !== undefined && usual && this.#isCurrent(pooled.record);
      if (keep) this.#pool.leave(slot, pooled);
      else this.#pool.discard(slot, pooled?.instance);
    }
  }

  async #finish(
    pooled: PooledInstance,
    response: InvokeResponse,
    start: Invocation["start"],
    recoveredFrom: string | undefined,
    phases: readonly Phase[],
    options: InvokeOptions,
    began: number,
  ): Promise<Invocation> {
    const total = { name: "total", milliseconds: performance.now() - began };
    const statistics = options.wantStatistics ? await this.#statistics(pooled) : undefined;
    return { response, start, recoveredFrom, phases: [...phases, total], statistics };
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

function signalOf({ signal }: InvokeOptions): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}
