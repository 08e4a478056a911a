import type { Invoke, LoadFunction } from "@firn/protocol";
import type { HandlerCallback, HandlerContext } from "../../context.ts";
import { REGION } from "./environment.ts";

/** What an invocation's surroundings say. */
export interface ContextParts {
  readonly invoke: Invoke;
  readonly load: LoadFunction;
  /** When it times out, by `performance.now()`. */
  readonly deadline: number;
  readonly signal: AbortSignal;
  /** Ends the invocation at once. */
  readonly done: HandlerCallback;
  /** Takes what is still to happen when the answer is there. */
  readonly waitUntil: (promise: Promise<unknown>) => void;
}

/** @throws {TypeError} if the client context is no JSON. */
export function createContext({
  invoke,
  load,
  deadline,
  signal,
  done,
  waitUntil,
}: ContextParts): HandlerContext {
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
    rehearsal: invoke.rehearsal ?? false,
    waitUntil,
    passThroughOnException: () => {},
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
