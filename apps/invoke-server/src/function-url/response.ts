import type { InvokeResponse, ResponseStream } from "@firn/snapshots";
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
export function toResponse(response: InvokeResponse, method: string): Response {
  const { status, headers, payload } = response;
  if (payload.length > MAX_PAYLOAD_BYTES) throw wrong(`more than ${MAX_PAYLOAD_BYTES} bytes`);
  const forwarded = forwardedHead(response);
  const length = lengthOf(status, headers, payload, method);
  if (length !== undefined) forwarded.set("Content-Length", length);
  const hasBody = method !== "HEAD" && !NULL_BODY_STATUSES.has(status) && payload.length > 0;
  // What has no type is bytes: the HTTP server would call it text.
  if (hasBody && !forwarded.has("content-type")) forwarded.set("Content-Type", "application/octet-stream");
  return new Response(hasBody ? (payload as Uint8Array<ArrayBuffer>) : null, { status, headers: forwarded });
}

/**
 * Makes the answer of one that a function writes piece by piece: each leaves when it has come, and is asked for when the one before it
 * has left.
 *
 * @param cut Cuts the connection to the caller, who then sees that the answer is not complete. Without it, the body fails.
 * @throws {ServiceError} FIRN_FUNCTION_RESPONSE.
 */
export function toStreamedResponse(
  stream: Pick<ResponseStream, "status" | "headers" | "body">,
  method: string,
  cut?: () => void,
): Response {
  const { status, headers, body } = stream;
  let forwarded: Headers;
  try {
    forwarded = forwardedHead(stream);
  } catch (error) {
    void body.cancel();
    throw error;
  }
  const said = saidLength(headers);
  if (status !== 204 && status !== 205 && said !== undefined) forwarded.set("Content-Length", said);
  if (method === "HEAD" || NULL_BODY_STATUSES.has(status)) {
    void drain(body);
    return new Response(null, { status, headers: forwarded });
  }
  if (!forwarded.has("content-type")) forwarded.set("Content-Type", "application/octet-stream");
  const exact = said === undefined ? undefined : Number(said);
  return new Response(passedOn(body, exact, cut), { status, headers: forwarded });
}

/** Status and headers as they are passed on, without a length. */
function forwardedHead({ status, headers }: Pick<InvokeResponse, "status" | "headers">): Headers {
  const forwarded = new Headers();
  try {
    for (const { name, value } of endToEndHeaders(headers.map(({ name, value }) => [name, value]))) {
      if (name !== "content-length") forwarded.append(name, value);
    }
  } catch (cause) {
    throw wrong("a header that HTTP cannot carry", cause);
  }
  if (!Number.isInteger(status) || status < 200 || status > 599) throw wrong(`the status ${status}`);
  return forwarded;
}

/** The same bytes, which must be as many as was said. If they break off, so does the connection. */
function passedOn(
  body: ReadableStream<Uint8Array>,
  exact: number | undefined,
  cut: (() => void) | undefined,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader();
  let passed = 0;
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          passed += value?.length ?? 0;
          if (exact !== undefined && (done ? passed !== exact : passed > exact)) {
            throw wrong(`${passed} bytes and a Content-Length of ${exact}`);
          }
          if (done) controller.close();
          else controller.enqueue(value as Uint8Array<ArrayBuffer>);
        } catch (error) {
          reader.cancel().catch(() => {});
          if (cut === undefined) {
            controller.error(error);
            return;
          }
          cut();
          controller.close();
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** Reads what nobody wants, so that its function comes to its end. */
export async function drain(body: ReadableStream<Uint8Array>): Promise<void> {
  try {
    for await (const _ of body);
  } catch {
    // How the invocation ended is logged elsewhere.
  }
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
  return payload.length > 0 ? String(payload.length) : saidLength(headers);
}

/** The length that the function itself said, in bytes. */
function saidLength(headers: InvokeResponse["headers"]): string | undefined {
  const said = headers.find(({ name }) => name.toLowerCase() === "content-length")?.value;
  return said !== undefined && /^\d{1,15}$/.test(said) ? said : undefined;
}

function wrong(what: string, cause?: unknown): ServiceError {
  return new ServiceError("FIRN_FUNCTION_RESPONSE", `The function answered with ${what}.`, { cause });
}
