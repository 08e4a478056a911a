import { AsyncLocalStorage } from "node:async_hooks";
import type { Invoke, LoadFunction } from "@firn/protocol";
import { Background } from "./background.ts";
import { callHandler, takesRequests } from "./call.ts";
import { errorResult } from "./errors/error-result.ts";
import { ABANDONED, abandonedError, timeoutError } from "./errors/invocation-errors.ts";
import { logError, logText } from "./errors/log.ts";
import { describeThrown } from "./errors/thrown.ts";
import type { Handler } from "./handler.ts";
import type { Answer } from "./http/answer.ts";
import { createContext } from "./lambda/context.ts";
import { EventCall } from "./lambda/event-call.ts";
import type { EventLoop } from "./lambda/event-loop.ts";
import type { Reply } from "./payloads/reply.ts";
import type { RequestPayload } from "./payloads/request-payload.ts";

/** Time that a fetch handler gets to end when its caller has gone, in milliseconds. */
const ABANDONED_AFTER_MS = 1000;

interface Invocation {
  readonly id: number;
  readonly requestId: string;
  readonly isRehearsal: boolean;
  readonly fail: (error: unknown) => void;
  readonly abort: AbortController;
  readonly handler: Handler;
  /** Whether all of its answer is sent. */
  answered: boolean;
  /** How many errors nobody caught while it ran that belong to no invocation that runs. */
  strays: number;
}

/** What is run. */
export interface InvocationParts {
  readonly invoke: Invoke;
  readonly payload: RequestPayload;
  readonly reply: Reply;
  readonly handler: Handler;
  readonly load: LoadFunction;
}

/** Whose an error is that nobody caught. */
export interface Owner {
  readonly requestId: string;
  /** Whether its invocation had no end yet; then the error is its result. */
  readonly wasRunning: boolean;
}

/** The invocations that run, by id. Each gets one answer and one end, whatever the function does. */
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

  /** Calls the handler and sends its answer; resolves when the end of the invocation is sent. Never rejects. */
  run(parts: InvocationParts): Promise<void> {
    const { promise: failed, reject: fail } = Promise.withResolvers<never>();
    failed.catch(() => {});
    const { id, requestId } = parts.invoke;
    const abort = new AbortController();
    const { handler } = parts;
    const isRehearsal = parts.invoke.rehearsal ?? false;
    const state = { answered: false, strays: 0 };
    const invocation: Invocation = { id, requestId, isRehearsal, fail, abort, handler, ...state };
    this.#running.set(id, invocation);
    return this.#current.run(invocation, () => this.#run(invocation, failed, parts));
  }

  async #run(invocation: Invocation, failed: Promise<never>, parts: InvocationParts): Promise<void> {
    const { requestId, fail, abort } = invocation;
    const { invoke, reply } = parts;
    const { timeoutMs } = invoke;
    const call = new EventCall(this.#eventLoop, requestId);
    const background = new Background(requestId);
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
    const stopped = new AbortController();
    let end: () => Promise<void>;
    try {
      const { signal } = abort;
      const { done } = call;
      const waitUntil = background.add;
      const context = createContext({ invoke, load: parts.load, deadline, signal, done, waitUntil });
      const answer = await Promise.race([callHandler({ ...parts, context, call }), failed]);
      await Promise.race([sendAnswer(answer, reply, [signal, stopped.signal]), failed]);
      invocation.answered = true;
      if (background.busy) {
        await reply.complete();
        await Promise.race([background.settled(), failed]);
      }
      end = () => reply.end("");
    } catch (error) {
      stopped.abort(error);
      end = await this.#failure(parts, error);
    } finally {
      call.close();
      clearTimeout(timer);
      this.#running.delete(invocation.id);
    }
    await end();
  }

  /** How an invocation ends that failed: by an answer that is the error, or, if it has answered already, by breaking off. */
  async #failure({ invoke, reply }: InvocationParts, error: unknown): Promise<() => Promise<void>> {
    const { type, message } = describeThrown(error);
    logError(`Request ${invoke.requestId} failed`, error);
    if (reply.begun || type === ABANDONED) {
      return () => reply.end("Unhandled", { errorType: type, errorMessage: message });
    }
    const result = errorResult(invoke.id, error);
    await reply.whole(result, result.payload);
    return () => reply.end(result.functionError);
  }

  /**
   * Aborts the signal of an invocation; what the function makes of it is its result. A fetch handler that makes nothing of it is given up a
   * moment later. A handler of events goes on, as on AWS Lambda.
   */
  cancel(id: number): void {
    const invocation = this.#running.get(id);
    if (invocation === undefined) return;
    invocation.abort.abort(new DOMException("The invocation was cancelled.", "AbortError"));
    if (!takesRequests(invocation.handler)) return;
    const giveUp = () => {
      if (!invocation.answered) invocation.fail(abandonedError(ABANDONED_AFTER_MS));
    };
    setTimeout(giveUp, ABANDONED_AFTER_MS).unref();
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

/** Sends an answer. One that is written piece by piece is read as fast as the host takes it. */
async function sendAnswer(answer: Answer, reply: Reply, stops: AbortSignal[]): Promise<void> {
  const { payload, rest } = answer;
  if (rest === undefined) return reply.whole(answer, payload);
  const stop = AbortSignal.any(stops);
  const cancel = () => rest.cancel(stop.reason);
  stop.addEventListener("abort", cancel, { once: true });
  try {
    if (stop.aborted) cancel();
    await reply.begin(answer, payload);
    for (let piece = await rest.read(); piece !== undefined; piece = await rest.read()) {
      if (!(await reply.write(piece))) cancel();
    }
    if (stop.aborted) reply.drop();
  } finally {
    stop.removeEventListener("abort", cancel);
  }
}
