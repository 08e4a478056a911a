import type { Invoke } from "@firn/protocol";
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
  if (BODYLESS_METHODS.has(method) && invoke.payload.length > 0) {
    return refusal(
      400,
      `A fetch handler cannot be given the body of a ${method} request: send it by POST, or without a body.`,
    );
  }
  return undefined;
}

/** A Request for a fetch handler: the request, or an event as the JSON body of a POST. */
export function toRequest(invoke: Invoke, signal: AbortSignal): Request {
  if (invoke.kind === "event") {
    const headers = { "content-type": "application/json" };
    const body = Buffer.from(invoke.payload);
    return new Request("http://function/", { method: "POST", headers, body, signal });
  }
  return new Request(new URL(invoke.url ?? "/", "http://function/"), {
    method: invoke.method ?? "GET",
    headers: (invoke.headers ?? []).map(({ name, value }): [string, string] => [name, value]),
    signal,
    ...(invoke.payload.length > 0 ? { body: Buffer.from(invoke.payload) } : {}),
  });
}
