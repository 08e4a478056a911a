import { errorCode, FunctionFailedError } from "@firn/snapshots";
import { MAX_PAYLOAD_BYTES } from "../request-body.ts";

/** What an invocation answers when the function failed: still HTTP 200, as in the Lambda API. */
export interface FunctionFailure {
  readonly functionError: "Unhandled";
  /** JSON with `errorMessage`, `errorType` and `trace`. */
  readonly payload: Uint8Array;
}

/** The answer for an error that is the function's own, or `undefined` if it is the service's. */
export function functionFailureOf(
  error: unknown,
  requestId: string,
  timeoutMs: number,
): FunctionFailure | undefined {
  if (errorCode(error) === "FIRN_INVOKE_TIMEOUT") {
    const seconds = (timeoutMs / 1000).toFixed(2);
    const message = `${new Date().toISOString()} ${requestId} Task timed out after ${seconds} seconds`;
    return failure("Sandbox.Timedout", message);
  }
  if (!(error instanceof FunctionFailedError)) return undefined;
  const type = error.code === "FIRN_FUNCTION_HOOK" ? "Runtime.AfterRestoreError" : "Runtime.ExitError";
  const message = `RequestId: ${requestId} Error: ${error.message}`;
  return failure(type, message, error.guestStack);
}

/** The answer when the function's own is too large. */
export function oversizedResponse(): FunctionFailure {
  const message = `Response payload size exceeded maximum allowed payload size (${MAX_PAYLOAD_BYTES} bytes).`;
  return failure("Function.ResponseSizeTooLarge", message);
}

function failure(errorType: string, errorMessage: string, stack = ""): FunctionFailure {
  const trace = stack === "" ? [] : stack.split("\n");
  const payload = new TextEncoder().encode(JSON.stringify({ errorType, errorMessage, trace }));
  return { functionError: "Unhandled", payload };
}
