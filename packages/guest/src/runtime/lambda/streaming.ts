import type { HandlerContext } from "../../context.ts";
import { ResponseStream } from "./response-stream.ts";

/** AWS Lambda's marks on a handler that writes its answer to a stream. */
const STREAMING_HANDLER = Symbol.for("aws.lambda.runtime.handler.streaming");
const HIGH_WATER_MARK = Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark");

/** A handler that writes its answer to a stream. */
export type StreamingHandler = (event: unknown, stream: ResponseStream, context: HandlerContext) => unknown;

/** Puts the global `awslambda` in place. */
export function installStreaming(): void {
  const streamifyResponse = <T extends object>(handler: T, options?: { highWaterMark?: number }): T => {
    if (typeof handler !== "function") {
      throw new TypeError("awslambda.streamifyResponse takes a function (event, responseStream, context).");
    }
    const mark = { [STREAMING_HANDLER]: "response", [HIGH_WATER_MARK]: options?.highWaterMark };
    return Object.assign(handler, mark);
  };
  const from = (stream: unknown, metadata: Readonly<Record<string, unknown>>): ResponseStream => {
    if (!(stream instanceof ResponseStream)) {
      throw new TypeError("awslambda.HttpResponseStream.from takes the responseStream of the handler.");
    }
    stream.setMetadata(metadata);
    return stream;
  };
  Object.defineProperty(globalThis, "awslambda", {
    value: { streamifyResponse, HttpResponseStream: { from } },
    writable: true,
    configurable: true,
  });
}

/** How a handler wants to stream its answer; `undefined` if it does not. */
export function streamingOf(handler: object): { readonly highWaterMark: number | undefined } | undefined {
  if (!(STREAMING_HANDLER in handler)) return undefined;
  const { [HIGH_WATER_MARK]: highWaterMark } = handler as { [HIGH_WATER_MARK]?: unknown };
  return { highWaterMark: typeof highWaterMark === "number" ? highWaterMark : undefined };
}
