import { AsyncLocalStorage } from "node:async_hooks";
import type { Invoke, InvokeResult, LoadFunction } from "@firn/protocol";
import { callHandler } from "./call.ts";
import { messageOf, stackOf, typeOf } from "./function-error.ts";
import type { Handler, HandlerContext } from "./handler.ts";

interface Running {
  readonly fail: (error: unknown) => void;
  readonly abort: AbortController;
}

/** The invocations that run, by id. Each gets one result, whatever the function does. */
export class Invocations {
  readonly #running = new Map<number, Running>();
  readonly #current = new AsyncLocalStorage<number>();

  /** Calls the handler; resolves with the one result of this invocation. Never rejects. */
  async run(invoke: Invoke, handler: Handler, load: LoadFunction): Promise<InvokeResult> {
    const failed = Promise.withResolvers<never>();
    const abort = new AbortController();
    this.#running.set(invoke.id, { fail: failed.reject, abort });
    const deadline = performance.now() + invoke.timeoutMs;
    const timer = setTimeout(() => {
      const error = timeoutError(invoke);
      failed.reject(error);
      abort.abort(error);
    }, invoke.timeoutMs);
    try {
      const context = createContext(invoke, load, deadline, abort.signal);
      const answer = this.#current.run(invoke.id, () => callHandler(handler, invoke, context));
      return { id: invoke.id, functionError: "", ...(await Promise.race([answer, failed.promise])) };
    } catch (error) {
      return errorResult(invoke.id, error);
    } finally {
      clearTimeout(timer);
      this.#running.delete(invoke.id);
    }
  }

  /** Aborts the signal of an invocation; what the function makes of it is its result. */
  cancel(id: number): void {
    this.#running.get(id)?.abort.abort(new DOMException("The invocation was cancelled.", "AbortError"));
  }

  /**
   * Makes an error that nobody caught the result of the invocation it belongs to, or of all if that is not known.
   *
   * @returns Whether there was one.
   */
  failCurrent(error: unknown): boolean {
    const current = this.#running.get(this.#current.getStore() ?? -1);
    const concerned = current === undefined ? [...this.#running.values()] : [current];
    for (const invocation of concerned) invocation.fail(error);
    return concerned.length > 0;
  }
}

/** The result of an invocation that failed with `error`, in the form of AWS Lambda. */
export function errorResult(id: number, error: unknown): InvokeResult {
  const trace = stackOf(error).split("\n");
  const body = { errorType: typeOf(error), errorMessage: messageOf(error), trace };
  return {
    id,
    status: 500,
    headers: [{ name: "content-type", value: "application/json" }],
    payload: Buffer.from(JSON.stringify(body)),
    functionError: "Unhandled",
  };
}

function timeoutError(invoke: Invoke): Error {
  const seconds = (invoke.timeoutMs / 1000).toFixed(2);
  const error = new Error(`RequestId: ${invoke.requestId} Error: Task timed out after ${seconds} seconds`);
  error.name = "Sandbox.Timedout";
  error.stack = "";
  return error;
}

function createContext(
  invoke: Invoke,
  load: LoadFunction,
  deadline: number,
  signal: AbortSignal,
): HandlerContext {
  return {
    awsRequestId: invoke.requestId,
    functionName: load.functionName,
    functionVersion: "$LATEST",
    invokedFunctionArn: `arn:aws:lambda:local:000000000000:function:${load.functionName}`,
    memoryLimitInMB: String(load.memoryMib),
    signal,
    getRemainingTimeInMillis: () => Math.max(0, Math.floor(deadline - performance.now())),
  };
}
