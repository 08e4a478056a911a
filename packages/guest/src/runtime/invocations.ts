import { AsyncLocalStorage } from "node:async_hooks";
import type { Invoke, InvokeResult, LoadFunction } from "@firn/protocol";
import { callHandler } from "./call.ts";
import { errorResult } from "./errors/error-result.ts";
import { timeoutError } from "./errors/invocation-errors.ts";
import { logError, logText } from "./errors/log.ts";
import type { Handler } from "./handler.ts";
import { createContext } from "./lambda/context.ts";
import { EventCall } from "./lambda/event-call.ts";
import type { EventLoop } from "./lambda/event-loop.ts";

interface Invocation {
  readonly id: number;
  readonly requestId: string;
  readonly isRehearsal: boolean;
  readonly fail: (error: unknown) => void;
  readonly abort: AbortController;
  /** How many errors nobody caught while it ran that belong to no invocation that runs. */
  strays: number;
}

/** Whose an error is that nobody caught. */
export interface Owner {
  readonly requestId: string;
  /** Whether its invocation had no result yet; then the error is its result. */
  readonly wasRunning: boolean;
}

/** The invocations that run, by id. Each gets one result, whatever the function does. */
export class Invocations {
  readonly #eventLoop: EventLoop;
  readonly #running = new Map<number, Invocation>();
  readonly #current = new AsyncLocalStorage<Invocation>();

  constructor(eventLoop: EventLoop) {
    this.#eventLoop = eventLoop;
  }

  /** Id of the invocation whose code runs, also after its end; 0 for none. */
  get currentId(): number {
    return this.#current.getStore()?.id ?? 0;
  }

  /** The request that is rehearsed, if it is its code that runs, also after its end. */
  get currentRehearsal(): string | undefined {
    const current = this.#current.getStore();
    return current?.isRehearsal ? current.requestId : undefined;
  }

  /** Calls the handler; resolves with the one result of this invocation. Never rejects. */
  run(invoke: Invoke, handler: Handler, load: LoadFunction): Promise<InvokeResult> {
    const { promise: failed, reject: fail } = Promise.withResolvers<never>();
    const { id, requestId } = invoke;
    const isRehearsal = invoke.rehearsal ?? false;
    const abort = new AbortController();
    const invocation: Invocation = { id, requestId, isRehearsal, fail, abort, strays: 0 };
    this.#running.set(id, invocation);
    return this.#current.run(invocation, () => this.#run(invocation, failed, invoke, handler, load));
  }

  async #run(
    invocation: Invocation,
    failed: Promise<never>,
    invoke: Invoke,
    handler: Handler,
    load: LoadFunction,
  ): Promise<InvokeResult> {
    const { id, requestId, fail, abort } = invocation;
    const { timeoutMs } = invoke;
    const call = new EventCall(this.#eventLoop, requestId);
    const deadline = performance.now() + timeoutMs;
    const timer = setTimeout(() => {
      if (call.expire()) return;
      if (invocation.strays > 0) logText(strayHint(invocation));
      const error = timeoutError(requestId, timeoutMs);
      fail(error);
      abort.abort(error);
    }, timeoutMs);
    // The bridge keeps the event loop alive, and nothing else of the runtime does.
    timer.unref();
    if (invoke.traceId) process.env._X_AMZN_TRACE_ID = invoke.traceId;
    try {
      const context = createContext({ invoke, load, deadline, signal: abort.signal, done: call.done });
      const answer = callHandler(handler, invoke, context, call);
      return { id, functionError: "", ...(await Promise.race([answer, failed])) };
    } catch (error) {
      logError(`Request ${requestId} failed`, error);
      return errorResult(id, error);
    } finally {
      call.close();
      clearTimeout(timer);
      this.#running.delete(id);
    }
  }

  /** Aborts the signal of an invocation; what the function makes of it is its result. */
  cancel(id: number): void {
    this.#running.get(id)?.abort.abort(new DOMException("The invocation was cancelled.", "AbortError"));
  }

  /**
   * Makes an error that nobody caught the result of the invocation that it belongs to. One that belongs to an earlier invocation, or to
   * none, fails nobody.
   *
   * @param error The error that is the invocation's result.
   * @returns Whose it is; `undefined` if that is not known.
   */
  blame(error: unknown): Owner | undefined {
    const owner = this.#current.getStore();
    const running = [...this.#running.values()];
    const wasRunning = owner !== undefined && running.includes(owner);
    if (wasRunning) owner.fail(error);
    else for (const innocent of running) innocent.strays += 1;
    return owner && { requestId: owner.requestId, wasRunning };
  }
}

function strayHint({ requestId, strays }: Invocation): string {
  return (
    `Request ${requestId} timed out. While it ran, ${strays} error(s) that belong to no running request were thrown and not caught, ` +
    "as is written above: perhaps it waited for what failed."
  );
}
