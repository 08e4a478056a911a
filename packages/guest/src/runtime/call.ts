import type { Invoke } from "@firn/protocol";
import type { HandlerContext } from "../context.ts";
import { logText } from "./errors/log.ts";
import type { Handler } from "./handler.ts";
import { type Answer, bodyless, JSON_HEADERS, refusal } from "./http/answer.ts";
import { toFunctionUrlEvent } from "./http/function-url-event.ts";
import { fromFunctionUrlResult, toJson } from "./http/function-url-result.ts";
import { refuseRequest, toRequest } from "./http/request.ts";
import { fromResponse, isResponse } from "./http/response.ts";
import type { EventCall } from "./lambda/event-call.ts";
import { ResponseStream } from "./lambda/response-stream.ts";
import type { RequestPayload } from "./payloads/request-payload.ts";

/** Longest body of a request to a handler of events, as AWS Lambda has it. */
const MAX_EVENT_BODY_BYTES = 6 * 1024 * 1024;

/** Bare default exports that answered an event with a Response: they are fetch handlers. */
const FOUND_TO_FETCH = new WeakSet<Handler>();

/** What is called, and with what. */
export interface HandlerCall {
  readonly handler: Handler;
  readonly invoke: Invoke;
  /** The payload of the invocation, which may still be arriving. */
  readonly payload: RequestPayload;
  readonly context: HandlerContext;
  readonly call: EventCall;
}

/** Whether a handler is given requests, and not events. */
export function takesRequests(handler: Handler): boolean {
  return handler.shape === "fetch" || FOUND_TO_FETCH.has(handler);
}

/**
 * Calls a handler. Each kind of invocation works with each shape: a request reaches a handler of events as an event of an AWS
 * Lambda function URL, an event reaches a fetch handler as the JSON body of a POST.
 *
 * @throws what the function throws, or a TypeError if it answers with what cannot be sent.
 */
export async function callHandler(called: HandlerCall): Promise<Answer> {
  const answer = await callByShape(called);
  return called.invoke.kind === "http" ? bodyless(answer, called.invoke.method) : answer;
}

async function callByShape(called: HandlerCall): Promise<Answer> {
  const { handler, context, call } = called;
  if (handler.shape === "fetch") {
    return callFetch((request) => handler.fetch(request, process.env, context), called);
  }
  if (handler.shape === "streaming") {
    const invoke = called.invoke.more === true ? await withWholePayload(called) : called.invoke;
    return invoke === undefined ? tooLarge() : callStreaming(handler, { ...called, invoke });
  }
  const asFetch = (request: Request) => handler.handle(request, context, call.done);
  if (FOUND_TO_FETCH.has(handler)) return callFetch(asFetch, called);

  // One that is all there is called at once: a signal that is aborted next finds its listeners.
  const invoke = called.invoke.more === true ? await withWholePayload(called) : called.invoke;
  if (invoke === undefined) return tooLarge();
  const result = await call.start(handler.handle, handler.parameters, eventOf(invoke), context);
  if (isResponse(result)) {
    if (!handler.isBareDefault || handler.parameters === 0) return fromResponse(result);
    FOUND_TO_FETCH.add(handler);
    logText(
      "The default export, a function, answered an event with a Response: it is called once more, and from now on, with a Request. " +
        "Export an object, export default { fetch(request) { … } }, to say so from the beginning.",
    );
    return callFetch(asFetch, { ...called, invoke });
  }
  if (invoke.kind === "http") return fromFunctionUrlResult(result);
  return { status: 200, headers: JSON_HEADERS, payload: Buffer.from(toJson(result)) };
}

async function callFetch(fetch: (request: Request) => unknown, called: HandlerCall): Promise<Answer> {
  const { invoke, payload, context } = called;
  const refused = refuseRequest(invoke);
  if (refused !== undefined) return refused;
  const response = await fetch(toRequest(invoke, payload, context.signal));
  if (!isResponse(response)) {
    throw new TypeError("The fetch handler returned no Response. Return new Response(…) from it.");
  }
  return fromResponse(response);
}

/** The answer begins with the first byte, or the end, of what the handler writes. */
async function callStreaming(
  handler: Extract<Handler, { shape: "streaming" }>,
  { invoke, context, call }: HandlerCall,
): Promise<Answer> {
  const stream = new ResponseStream(handler.highWaterMark);
  call.lateHint = () => stream.lateHint;
  stream.follow((async () => handler.handle(eventOf(invoke), stream, context))());
  await stream.began;
  try {
    if (invoke.kind === "http") return { ...stream.httpHead(), payload: new Uint8Array(), rest: stream };
    const { headers, prelude } = stream.eventHead();
    return { status: 200, headers, payload: prelude, rest: stream };
  } catch (error) {
    stream.destroy(error as Error);
    throw error;
  }
}

/** The invocation with all of its payload; `undefined` if that is more than an event may have. */
async function withWholePayload({ invoke, payload }: HandlerCall): Promise<Invoke | undefined> {
  const whole = await payload.whole(invoke.kind === "http" ? MAX_EVENT_BODY_BYTES : undefined);
  return whole === undefined ? undefined : { ...invoke, payload: whole, more: false };
}

function tooLarge(): Answer {
  return refusal(
    413,
    `A handler of events takes bodies of at most ${MAX_EVENT_BODY_BYTES} bytes: export a fetch handler, which reads them as they come.`,
  );
}

function eventOf(invoke: Invoke): unknown {
  return invoke.kind === "http" ? toFunctionUrlEvent(invoke) : parseEvent(invoke.payload);
}

/** An event as JSON; a byte order mark before it is none of it. */
function parseEvent(payload: Uint8Array): unknown {
  const text = new TextDecoder().decode(payload);
  return text === "" ? {} : JSON.parse(text);
}
