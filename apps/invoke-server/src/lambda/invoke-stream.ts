import type { Invocation, StreamedInvocation } from "@firn/functions";
import type { InvokeReport } from "@firn/snapshots";
import type { Context } from "hono";
import type { Dependencies } from "../dependencies.ts";
import { readInvokeOptions, setStartHeaders } from "../start-header.ts";
import { invocationHeaders, readEventRequest } from "./event-request.ts";
import { type Completion, completionFrame, EVENT_STREAM_TYPE, payloadFrame } from "./event-stream.ts";
import { functionFailureOf } from "./failure.ts";
import { LogTail } from "./log-tail.ts";
import { reportFor } from "./report.ts";

type AnyInvocation = Invocation | StreamedInvocation;

/**
 * InvokeWithResponseStream: the answer in frames, each when the function has written it, and how it ended in the last one. A function
 * goes on when its caller has gone.
 */
export async function invokeEventStream(
  { host, invoker, streamLimitBytes }: Dependencies,
  name: string,
  context: Context,
): Promise<Response> {
  const { record, request, isDryRun, wantsLog } = await readEventRequest(host, name, context);
  if (isDryRun) return context.body(null, 204);
  const { requestId, timeoutMs } = request;
  const log = new LogTail(requestId);
  const began = performance.now();
  const { signal: _, ...options } = readInvokeOptions(context);
  const onLog = (line: Parameters<LogTail["add"]>[0]) => log.add(line);
  let invocation: AnyInvocation | undefined;
  let failure: Uint8Array | undefined;
  try {
    invocation = await invoker.invokeStream(name, { ...request, streamLimitBytes }, { ...options, onLog });
  } catch (error) {
    failure = functionFailureOf(error, requestId, timeoutMs)?.payload;
    if (failure === undefined) throw error;
  }
  const complete = (completion: Completion, report?: InvokeReport) => {
    const tail = wantsLog ? { LogResult: log.end(reportFor(record, began, invocation, report)) } : {};
    return completionFrame({ ...completion, ...tail });
  };
  const frames =
    invocation === undefined
      ? endWith(complete(failed(failure as Uint8Array)))
      : framesOf(invocation, complete, (error) => functionFailureOf(error, requestId, timeoutMs)?.payload);
  const headers = invocationHeaders(EVENT_STREAM_TYPE, requestId);
  if (invocation !== undefined) setStartHeaders(headers, invocation);
  return new Response(readable(frames), { status: 200, headers });
}

async function* endWith(frame: Uint8Array): AsyncGenerator<Uint8Array> {
  yield frame;
}

async function* framesOf(
  invocation: AnyInvocation,
  complete: (completion: Completion, report?: InvokeReport) => Uint8Array,
  failureOf: (error: unknown) => Uint8Array | undefined,
): AsyncGenerator<Uint8Array> {
  if (!("stream" in invocation)) {
    const { functionError, payload, report } = invocation.response;
    if (functionError === "" && payload.length > 0) yield payloadFrame(payload);
    yield complete(functionError === "" ? {} : failed(payload), report);
    return;
  }
  const { body, ended } = invocation.stream;
  try {
    for await (const piece of body) yield payloadFrame(piece);
  } catch {
    // The end tells why.
  }
  try {
    const { errorType, errorMessage, report } = await ended;
    const payload = Buffer.from(JSON.stringify({ errorType, errorMessage }));
    yield complete(errorType === "" ? {} : failed(payload), report);
  } catch (error) {
    const payload =
      failureOf(error) ?? Buffer.from('{"errorType":"Service.Error","errorMessage":"The instance failed."}');
    yield complete(failed(payload));
  }
}

/** How a failure is told: its name, and all that is known of it as JSON. */
function failed(payload: Uint8Array): Completion {
  const ErrorDetails = Buffer.from(payload).toString("utf8");
  return { ErrorCode: "Unhandled", ErrorDetails };
}

/** What is read of it is made then. Who stops reading stops nothing: the rest is made for nobody. */
function readable(frames: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        const { done, value } = await frames.next();
        if (done === true) controller.close();
        else controller.enqueue(value as Uint8Array<ArrayBuffer>);
      },
      async cancel() {
        for await (const _ of frames);
      },
    },
    { highWaterMark: 0 },
  );
}
