/** Ends an invocation: with an error, or with a result. */
export type HandlerCallback = (error?: unknown, result?: unknown) => void;

/**
 * What a handler learns about an invocation: the context of AWS Lambda, and what Firn adds. A handler of events gets it after its event, a fetch
 * handler as its third argument. Lengths of time are in milliseconds.
 */
export interface HandlerContext {
  /** Whether an answer by callback waits until nothing of the function is left to happen; true unless the function says otherwise. */
  callbackWaitsForEmptyEventLoop: boolean;
  readonly awsRequestId: string;
  readonly functionName: string;
  readonly functionVersion: string;
  readonly invokedFunctionArn: string;
  readonly memoryLimitInMB: string;
  readonly logGroupName: string;
  readonly logStreamName: string;
  /** Nobody is known to Firn by an identity of Amazon Cognito. */
  readonly identity: undefined;
  /** What the caller sent as X-Amz-Client-Context. */
  readonly clientContext: unknown;
  /** Aborted when the invocation is cancelled or has timed out. */
  readonly signal: AbortSignal;
  /**
   * Whether nobody waits for the answer: a deploy has the function answer a sample. What must not happen for one, such as sending a mail, is
   * left out then.
   */
  readonly rehearsal: boolean;
  /**
   * Keeps the instance for this invocation until the promise has settled, at most until the timeout. The answer does not wait for it, and
   * does not fail if it is rejected.
   */
  waitUntil(promise: Promise<unknown>): void;
  /** Of Workers, and without a meaning here: there is no origin server behind a function. */
  passThroughOnException(): void;
  getRemainingTimeInMillis(): number;
  done(error?: unknown, result?: unknown): void;
  fail(error?: unknown): void;
  succeed(result?: unknown): void;
}
