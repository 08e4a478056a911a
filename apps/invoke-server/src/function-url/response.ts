import type { InvokeResponse } from "@firn/snapshots";
import { MAX_PAYLOAD_BYTES } from "../request-body.ts";
import { ServiceError } from "../service-error.ts";
import { endToEndHeaders } from "./connection-headers.ts";

const NULL_BODY_STATUSES = new Set([204, 205, 304]);

/**
 * Makes the answer of what a function answered: status, headers and bytes as they are. The guest is not trusted: what HTTP
 * cannot carry is the function's error.
 *
 * @throws {ServiceError} FIRN_FUNCTION_RESPONSE.
 */
export function toResponse({ status, headers, payload }: InvokeResponse, method: string): Response {
  if (payload.length > MAX_PAYLOAD_BYTES) {
    throw wrong(`more than ${MAX_PAYLOAD_BYTES} bytes`);
  }
  const forwarded = new Headers();
  try {
    for (const { name, value } of endToEndHeaders(headers.map(({ name, value }) => [name, value]))) {
      if (name !== "content-length") forwarded.append(name, value);
    }
  } catch (cause) {
    throw wrong("a header that HTTP cannot carry", cause);
  }
  if (!Number.isInteger(status) || status < 200 || status > 599) throw wrong(`the status ${status}`);
  const length = lengthOf(status, headers, payload, method);
  if (length !== undefined) forwarded.set("Content-Length", length);
  const hasBody = method !== "HEAD" && !NULL_BODY_STATUSES.has(status) && payload.length > 0;
  // What has no type is bytes: the HTTP server would call it text.
  if (hasBody && !forwarded.has("content-type")) forwarded.set("Content-Type", "application/octet-stream");
  return new Response(hasBody ? (payload as Uint8Array<ArrayBuffer>) : null, { status, headers: forwarded });
}

/** An answer to HEAD tells how long that to GET is, which only the function knows if it has left out the body itself. */
function lengthOf(
  status: number,
  headers: InvokeResponse["headers"],
  payload: Uint8Array,
  method: string,
): string | undefined {
  if (status === 204 || status === 205) return undefined;
  if (method !== "HEAD" && status !== 304) return String(payload.length);
  if (payload.length > 0) return String(payload.length);
  const said = headers.find(({ name }) => name.toLowerCase() === "content-length")?.value;
  return said !== undefined && /^\d{1,15}$/.test(said) ? said : undefined;
}

function wrong(what: string, cause?: unknown): ServiceError {
  return new ServiceError("FIRN_FUNCTION_RESPONSE", `The function answered with ${what}.`, { cause });
}
