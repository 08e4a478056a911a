/** AWS Lambda's mark on a handler that writes its answer to a stream. */
const STREAMING_HANDLER = Symbol.for("aws.lambda.runtime.handler.streaming");

const UNSUPPORTED =
  "Response streaming is not supported yet: answer with the whole response, from a handler without awslambda.streamifyResponse.";

/** Puts the global `awslambda` in place, so that a function that streams its answer hears why it cannot. */
export function refuseStreaming(): void {
  const refuse = (): never => {
    throw new Error(UNSUPPORTED);
  };
  Object.defineProperty(globalThis, "awslambda", {
    value: { streamifyResponse: refuse, HttpResponseStream: { from: refuse } },
    writable: true,
    configurable: true,
  });
}

/** Why a handler cannot be called, if it wants to stream its answer. */
export function refuseStreamingHandler(handler: object): string | undefined {
  return STREAMING_HANDLER in handler ? UNSUPPORTED : undefined;
}
