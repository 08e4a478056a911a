import type { Header } from "@firn/protocol";

/** One call of a function. */
export interface InvokeRequest {
  /** Appears in the function's context and in the log. */
  readonly requestId: string;
  /** Milliseconds that the function may take, once it runs. */
  readonly timeoutMs: number;
  /** The JSON event of a handler, or the body of a request for a fetch handler. */
  readonly payload: Uint8Array;
  /** What the caller says of itself, JSON: the client context of AWS Lambda. */
  readonly clientContext?: string;
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
}

/** How an instance was started. */
export type StartMode = "regular" | "base" | "diff";

/** How long a step took, in milliseconds. */
export interface Phase {
  readonly name: string;
  readonly milliseconds: number;
}
