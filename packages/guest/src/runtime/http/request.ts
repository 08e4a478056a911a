import type { Invoke } from "@firn/protocol";
import type { RequestPayload } from "../payloads/request-payload.ts";
import { type Answer, refusal } from "./answer.ts";

/** Methods of which the Fetch standard makes no Request. */
const FORBIDDEN_METHODS = new Set(["CONNECT", "TRACE", "TRACK"]);
const BODYLESS_METHODS = new Set(["GET", "HEAD"]);

/** Why a request cannot be handed to a fetch handler, as the answer to it; `undefined` if it can. */
export function refuseRequest(invoke: Invoke): Answer | undefined {
  if (invoke.kind !== "http") return undefined;
  const method = (invoke.method ?? "GET").toUpperCase();
  if (FORBIDDEN_METHODS.has(method)) {
    return refusal(501, `A fetch handler cannot be called by ${method}: there is no Request of that method.`);
  }
  if (BODYLESS_METHODS.has(method) && (invoke.payload.length > 0 || invoke.more === true)) {
    return refusal(
      400,
      `A fetch handler cannot be given the body of a ${method} request: send it by POST, or without a body.`,
    );
  }
  return undefined;
}

/**
 * A Request for a fetch handler: the request, whose body may still be arriving, or an event as the JSON body of a POST.
 *
 * @param payload The invocation's payload, for one that is not all there.
 */
export function toRequest(invoke: Invoke, payload: RequestPayload, signal: AbortSignal): Request {
  const hasBody = invoke.kind === "event" || invoke.payload.length > 0 || invoke.more === true;
  const body = invoke.more === true ? payload.stream() : Buffer.from(invoke.payload);
  const rest = { signal, ...(hasBody ? { body, duplex: "half" as const } : {}) };
  if (invoke.kind === "event") {
    const headers = { "content-type": "application/json" };
    return new Request("http://function/", { method: "POST", headers, ...rest });
  }
  return new Request(new URL(invoke.url ?? "/", "http://function/"), {
    method: invoke.method ?? "GET",
    headers: (invoke.headers ?? []).map(({ name, value }): [string, string] => [name, value]),
    ...rest,
  });
}
