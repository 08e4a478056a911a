import type { Header, Invoke } from "@firn/protocol";
import { fromFunctionUrlResult, toFunctionUrlEvent } from "./function-url.ts";
import type { Handler, HandlerContext } from "./handler.ts";

/** What a function answered. */
export interface Answer {
  readonly status: number;
  readonly headers: readonly Header[];
  readonly payload: Uint8Array;
}

const JSON_HEADERS: readonly Header[] = [{ name: "content-type", value: "application/json" }];

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
): Promise<Answer> {
  if (handler.shape === "fetch") {
    return fromResponse(await handler.fetch(toRequest(invoke, context.signal)));
  }
  if (invoke.kind === "http") {
    return fromFunctionUrlResult(await handler.handle(toFunctionUrlEvent(invoke), context));
  }
  const result = await handler.handle(parseEvent(invoke.payload), context);
  return { status: 200, headers: JSON_HEADERS, payload: Buffer.from(JSON.stringify(result) ?? "null") };
}

function parseEvent(payload: Uint8Array): unknown {
  return payload.length === 0 ? {} : JSON.parse(Buffer.from(payload).toString("utf8"));
}

function toRequest(invoke: Invoke, signal: AbortSignal): Request {
  if (invoke.kind === "event") {
    const headers = { "content-type": "application/json" };
    return new Request("http://function/", {
      method: "POST",
      headers,
      body: Buffer.from(invoke.payload),
      signal,
    });
  }
  const method = invoke.method ?? "GET";
  const headers = (invoke.headers ?? []).map(({ name, value }): [string, string] => [name, value]);
  const hasBody = method !== "GET" && method !== "HEAD" && invoke.payload.length > 0;
  return new Request(new URL(invoke.url ?? "/", "http://function/"), {
    method,
    headers,
    signal,
    ...(hasBody ? { body: Buffer.from(invoke.payload) } : {}),
  });
}

async function fromResponse(response: unknown): Promise<Answer> {
  if (!(response instanceof Response)) {
    throw new TypeError("The fetch handler returned no Response. Return new Response(…) from it.");
  }
  const payload = new Uint8Array(await response.arrayBuffer());
  return {
    status: response.status,
    headers: [...response.headers].map(([name, value]) => ({ name, value })),
    payload,
  };
}
