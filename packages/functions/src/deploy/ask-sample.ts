import { FunctionFailedError, type InvokeRequest, type InvokeResponse } from "@firn/snapshots";
import { type Sample, sampleRequest } from "../archive/sample.ts";

/** The requests that samples stand for, in their order. */
export function sampleRequests(samples: readonly Sample[], timeoutMs: number): InvokeRequest[] {
  return samples.map((sample, index) =>
    sampleRequest(sample, { requestId: `sample-${index + 1}`, timeoutMs }),
  );
}

/**
 * Looks at what a function answered to a sample.
 *
 * @param when Says when that was, as it stands at the end of a sentence's first part; may be empty.
 * @param remedy What to do, a sentence; may be empty.
 * @throws {FunctionFailedError} FIRN_FUNCTION_SAMPLE if it failed.
 */
export function requireAnswer(
  request: InvokeRequest,
  response: InvokeResponse,
  when = "",
  remedy = "",
): void {
  if (response.functionError === "") return;
  const said = Buffer.from(response.payload).toString("utf8").slice(0, 500);
  throw new FunctionFailedError(
    "FIRN_FUNCTION_SAMPLE",
    `The function failed at ${request.requestId.replace("-", " ")} of its package.json${when}: ${said}${remedy}`,
    "",
  );
}
