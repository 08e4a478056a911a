import type { Header, InvokeEnd } from "@firn/protocol";

/** One call of a function. */
export interface InvokeRequest {
  /** Appears in the function's context and in the log. */
  readonly requestId: string;
  /** Milliseconds that the function may take, once it runs. */
  readonly timeoutMs: number;
  /** The JSON event of a handler, or the body of a request for a fetch handler. */
  readonly payload: Uint8Array;
  /** What comes after `payload`, as it arrives. The function is called before it is there. */
  readonly rest?: AsyncIterable<Uint8Array> | undefined;
  /** The trace that the invocation is a part of. */
  readonly traceId?: string | undefined;
  /** What the caller says of itself, JSON: the client context of AWS Lambda. */
  readonly clientContext?: string | undefined;
  /** Version of the function as it was invoked. */
  readonly functionVersion?: string | undefined;
  /** Full name of the function as it was invoked. */
  readonly functionArn?: string | undefined;
  /** Whether this is a sample that a deploy has the function answer, to make it fast and to try it; not by default. */
  readonly rehearsal?: boolean | undefined;
  /** Largest whole response in bytes, 64 MiB by default; the function fails with Function.ResponseSizeTooLarge beyond. */
  readonly responseLimitBytes?: number | undefined;
  /** Largest response that the function writes piece by piece, in bytes, 200 MiB by default. */
  readonly streamLimitBytes?: number | undefined;
  /** Present for a fetch handler. */
  readonly http?: { readonly method: string; readonly url: string; readonly headers: readonly Header[] };
}

/** The answer of a function. */
export interface InvokeResponse {
  /** Status of a fetch handler's response; 200 for an event. */
  readonly status: number;
  readonly headers: readonly Header[];
  readonly payload: Uint8Array;
  /** "" if the function answered; "Unhandled" if it threw, rejected or timed out in the guest; "Handled". */
  readonly functionError: string;
  /** What it cost. */
  readonly report?: InvokeReport;
}

/** How an invocation ended. */
export interface InvokeOutcome {
  /** "" if the function answered; "Unhandled" if it threw, rejected or timed out in the guest; "Handled". */
  readonly functionError: string;
  /** Name of the error's class, if the function failed after its response had begun, or without one; else "". */
  readonly errorType: string;
  readonly errorMessage: string;
  /** What it cost. */
  readonly report: InvokeReport;
}

/** What a REPORT line of AWS Lambda tells. Lengths of time are in milliseconds. */
export interface InvokeReport {
  /** From the guest's receipt of the request until the end of the answer. */
  readonly durationMs: number;
  /** The same, in whole milliseconds. */
  readonly billedDurationMs: number;
  /** Most memory that the function had since it was started, in MiB; 0 if that is not known. */
  readonly maxMemoryUsedMib: number;
  /** What the function took to get ready; only with the first request to an instance that was booted or made from a base. */
  readonly initDurationMs: number | undefined;
  /** What the guest took to resume, after-restore hooks included; only with the first request to an instance. */
  readonly restoreDurationMs: number | undefined;
}

/** The report in the end of an invocation. */
export function reportOf(end: InvokeEnd): InvokeReport {
  const known = (microseconds: number) => (microseconds === 0 ? undefined : microseconds / 1000);
  return {
    durationMs: end.durationUs / 1000,
    billedDurationMs: Math.ceil(end.durationUs / 1000),
    maxMemoryUsedMib: Math.ceil(end.memoryPeakKib / 1024),
    initDurationMs: known(end.initUs),
    restoreDurationMs: known(end.restoreUs),
  };
}

/** An error in the form that AWS Lambda gives it. */
export function errorPayload(errorType: string, errorMessage: string): Uint8Array {
  return Buffer.from(JSON.stringify({ errorType, errorMessage, trace: [] }));
}

/** How an instance was started. */
export type StartMode = "regular" | "base" | "diff";

/** How long a step took, in milliseconds. */
export interface Phase {
  readonly name: string;
  readonly milliseconds: number;
}
