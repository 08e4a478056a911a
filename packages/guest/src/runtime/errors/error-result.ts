import type { InvokeResult } from "@firn/protocol";
import { describeThrown } from "./thrown.ts";

/** The result of an invocation that failed with `error`, in the form of AWS Lambda. */
export function errorResult(id: number, error: unknown): InvokeResult {
  const { type, message, trace } = describeThrown(error);
  const body = { errorType: type, errorMessage: message, trace };
  return {
    id,
    status: 500,
    headers: [{ name: "content-type", value: "application/json" }],
    payload: Buffer.from(JSON.stringify(body)),
    functionError: "Unhandled",
  };
}
