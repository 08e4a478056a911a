import type { Invoke } from "@firn/protocol";
import type { HandlerContext } from "../context.ts";
import { logText } from "./errors/log.ts";
import type { Handler } from "./handler.ts";
import { type Answer, JSON_HEADERS, withoutBody } from "./http/answer.ts";
import { toFunctionUrlEvent } from "./http/function-url-event.ts";
import { fromFunctionUrlResult, toJson } from "./http/function-url-result.ts";
import { refuseRequest, toRequest } from "./http/request.ts";
import { fromResponse, isResponse } from "./http/response.ts";
import type { EventCall } from "./lambda/event-call.ts";

/** Bare default exports that answered an event with a Response: they are fetch handlers. */
const FOUND_TO_FETCH = new WeakSet<Handler>();

/**
 * Calls a handler. Each kind of invocation works with each shape: a request reaches a handler of events as an event of an AWS
 * Lambda function URL, an event reaches a fetch handler as the JSON body of a POST.
 *
 * @throws what the function throws, or a TypeError if it answers with what cannot be sent.
 */
export async function callHandler(
  handler: Handler,
  invoke: Invoke,
  context: HandlerContext,
  call: EventCall,
): Promise<Answer> {
  const answer = await callByShape(handler, invoke, context, call);
  return invoke.kind === "http" && invoke.method === "HEAD" ? withoutBody(answer) : answer;
}

async function callByShape(
  handler: Handler,
  invoke: Invoke,
  context: HandlerContext,
  call: EventCall,
): Promise<Answer> {
  if (handler.shape === "fetch") {
    return callFetch((request) => handler.fetch(request, process.env, context), invoke, context, call);
  }
  const asFetch = (request: Request) => handler.handle(request, context, call.done);
  if (FOUND_TO_FETCH.has(handler)) return callFetch(asFetch, invoke, context, call);

  const event = invoke.kind === "http" ? toFunctionUrlEvent(invoke) : parseEvent(invoke.payload);
  const result = await call.start(handler.handle, handler.parameters, event, context);
  if (isResponse(result)) {
    if (!handler.isBareDefault || handler.parameters === 0) {
      call.readsBody = true;
      return fromResponse(result);
    }
    FOUND_TO_FETCH.add(handler);
    logText(
      "The default export, a function, answered an event with a Response: it is called once more, and from now on, with a Request. " +
        "Export an object, export default { fetch(request) { … } }, to say so from the beginning.",
    );
    return callFetch(asFetch, invoke, context, call);
  }
  if (invoke.kind === "http") return fromFunctionUrlResult(result);
  return { status: 200, headers: JSON_HEADERS, payload: Buffer.from(toJson(result)) };
}

async function callFetch(
  fetch: (request: Request) => unknown,
  invoke: Invoke,
  context: HandlerContext,
  call: EventCall,
): Promise<Answer> {
  const refused = refuseRequest(invoke);
  if (refused !== undefined) return refused;
  const response = await fetch(toRequest(invoke, context.signal));
  if (!isResponse(response)) {
    throw new TypeError("The fetch handler returned no Response. Return new Response(…) from it.");
  }
  call.readsBody = true;
  return fromResponse(response);
}

/** An event as JSON; a byte order mark before it is none of it. */
function parseEvent(payload: Uint8Array): unknown {
  const text = new TextDecoder().decode(payload);
  return text === "" ? {} : JSON.parse(text);
}
