import { describeThrown } from "./thrown.ts";

/** An error of an invocation, with the name that AWS Lambda gives it. */
export class InvocationError extends Error {
  /** @param trace What stands for its stack: the place in the function that it is about, if there is one. */
  constructor(name: string, message: string, trace: readonly string[] = []) {
    super(message);
    this.name = name;
    this.stack = trace.length === 0 ? "" : [`${name}: ${message}`, ...trace].join("\n");
  }
}

/** A promise of the function was rejected and nobody waited for it. */
export function unhandledRejection(reason: unknown): InvocationError {
  const { type, message, trace } = describeThrown(reason);
  const text = trace.length === 0 ? message : `${type}: ${message}`;
  return new InvocationError("Runtime.UnhandledPromiseRejection", text, trace);
}

/** The function did not answer in time. */
export function timeoutError(requestId: string, timeoutMs: number): InvocationError {
  const seconds = (timeoutMs / 1000).toFixed(2);
  const message = `RequestId: ${requestId} Error: Task timed out after ${seconds} seconds`;
  return new InvocationError("Sandbox.Timedout", message);
}

/** The name of an invocation that was given up: the function goes on with what nobody waits for. The host knows it. */
export const ABANDONED = "Runtime.Abandoned";

/** The caller has gone, and the function did not stop. */
export function abandonedError(afterMs: number): InvocationError {
  const message = `The caller went away, and the function did not stop within ${afterMs} milliseconds: heed request.signal.`;
  return new InvocationError(ABANDONED, message);
}
