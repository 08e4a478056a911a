import type { Invoke, LoadFunction } from "@firn/protocol";
import { REGION } from "./environment.ts";

/** Ends an invocation: with an error, or with a result. */
export type HandlerCallback = (error?: unknown, result?: unknown) => void;

/** The context of AWS Lambda that a handler of events gets. Lengths of time are in milliseconds. */
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
  getRemainingTimeInMillis(): number;
  done(error?: unknown, result?: unknown): void;
  fail(error?: unknown): void;
  succeed(result?: unknown): void;
}

/** What an invocation's surroundings say. */
export interface ContextParts {
  readonly invoke: Invoke;
  readonly load: LoadFunction;
  /** When it times out, by `performance.now()`. */
  readonly deadline: number;
  readonly signal: AbortSignal;
  /** Ends the invocation at once. */
  readonly done: HandlerCallback;
}

/** @throws {TypeError} if the client context is no JSON. */
export function createContext({ invoke, load, deadline, signal, done }: ContextParts): HandlerContext {
  const { AWS_LAMBDA_LOG_GROUP_NAME: group, AWS_LAMBDA_LOG_STREAM_NAME: stream } = process.env;
  return {
    callbackWaitsForEmptyEventLoop: true,
    awsRequestId: invoke.requestId,
    functionName: load.functionName,
    functionVersion: invoke.functionVersion || process.env.AWS_LAMBDA_FUNCTION_VERSION || "$LATEST",
    invokedFunctionArn:
      invoke.functionArn || `arn:aws:lambda:${REGION}:000000000000:function:${load.functionName}`,
    memoryLimitInMB: String(load.memoryMib),
    logGroupName: group ?? `/aws/lambda/${load.functionName}`,
    logStreamName: stream ?? "",
    identity: undefined,
    clientContext: readClientContext(invoke.clientContext),
    signal,
    getRemainingTimeInMillis: () => Math.max(0, Math.floor(deadline - performance.now())),
    done,
    fail: (error) => done(error ?? new Error("context.fail() was called without an error.")),
    succeed: (result) => done(null, result),
  };
}

function readClientContext(text: string | undefined): unknown {
  if (text === undefined || text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new TypeError("The client context is no JSON.", { cause });
  }
}
