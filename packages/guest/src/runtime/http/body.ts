import { isUtf8 } from "node:buffer";

/** A body as it stands in an event. */
export interface BodyText {
  readonly body?: string;
  readonly isBase64Encoded: boolean;
}

/** A body for an event: text if its bytes are UTF-8, whatever its media type says, and base64 otherwise. No byte is lost. */
export function toBodyText(payload: Uint8Array): BodyText {
  if (payload.length === 0) return { isBase64Encoded: false };
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  return isUtf8(bytes)
    ? { body: bytes.toString("utf8"), isBase64Encoded: false }
    : { body: bytes.toString("base64"), isBase64Encoded: true };
}

/**
 * The bytes of a body that a handler of events returned.
 *
 * @throws {TypeError} if it cannot be sent.
 */
export async function fromBody(body: unknown, isBase64Encoded: unknown): Promise<Uint8Array> {
  const encoded = readFlag(isBase64Encoded);
  if (body === undefined || body === null) return new Uint8Array();
  if (typeof body === "string") return encoded ? fromBase64(body) : Buffer.from(body);
  if (body instanceof Blob) return new Uint8Array(await body.arrayBuffer());
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  if (body instanceof ArrayBuffer || body instanceof SharedArrayBuffer) return new Uint8Array(body);
  if (isStream(body)) {
    throw new TypeError(
      "The body is a stream: return a Response with it, or write to the stream of awslambda.streamifyResponse.",
    );
  }
  const json = JSON.stringify(body);
  if (json === undefined) throw new TypeError(`The body is a ${typeof body}: return text or bytes.`);
  return Buffer.from(json);
}

/** Whether a value gives its parts one after the other, as they come. */
export function isStream(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { pipe, getReader } = value as { pipe?: unknown; getReader?: unknown };
  return typeof pipe === "function" || typeof getReader === "function" || Symbol.asyncIterator in value;
}

function readFlag(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === "false") return false;
  if (value === true || value === "true") return true;
  throw new TypeError(`isBase64Encoded is ${JSON.stringify(value)}: return true or false.`);
}

function fromBase64(text: string): Uint8Array {
  const dense = text.replace(/\s+/g, "");
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(dense) || dense.replace(/=+$/, "").length % 4 === 1) {
    throw new TypeError("isBase64Encoded is true, and the body is no base64.");
  }
  return Buffer.from(dense, "base64");
}
