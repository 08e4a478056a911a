import type { Invocation, InvokeOptions, StreamedInvocation, WantedStart } from "@firn/functions";
import type { Context } from "hono";
import { ServiceError } from "./service-error.ts";

const STARTS: readonly string[] = ["auto", "warm", "cold", "base", "regular"] satisfies WantedStart[];

/** A request that says nothing of how it wants to be started. */
export const PLAIN_START: InvokeOptions = { start: "auto", wantStatistics: false };

/**
 * Reads what a request wants of its start: `X-Firn-Start: auto | warm | cold | base | regular`, and `X-Firn-Statistics: 1` for
 * counters with the answer.
 *
 * @throws {ServiceError} FIRN_INVALID_REQUEST.
 */
export function readInvokeOptions(context: Context): InvokeOptions {
  const start = context.req.header("x-firn-start") ?? "auto";
  if (!STARTS.includes(start)) {
    throw new ServiceError("FIRN_INVALID_REQUEST", `X-Firn-Start is one of ${STARTS.join(", ")}.`);
  }
  return {
    start: start as WantedStart,
    wantStatistics: context.req.header("x-firn-statistics") === "1",
    signal: context.req.raw.signal,
  };
}

/** Tells in an answer's headers how the invocation was started and where its time went. */
export function setStartHeaders(headers: Headers, invocation: Invocation | StreamedInvocation): void {
  headers.set("X-Firn-Start", invocation.start);
  const timing = invocation.phases.map(({ name, milliseconds }) => `${name};dur=${milliseconds.toFixed(3)}`);
  headers.append("Server-Timing", timing.join(", "));
  if (invocation.recoveredFrom !== undefined) headers.set("X-Firn-Recovered-From", invocation.recoveredFrom);
  // Those of one that is still running would tell half of it.
  if ("statistics" in invocation && invocation.statistics !== undefined) {
    headers.set("X-Firn-Statistics", JSON.stringify(invocation.statistics));
  }
}
