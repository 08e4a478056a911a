import { ServiceError } from "../service-error.ts";

/** Longest client context in base64, as AWS has it. */
const MAX_BYTES = 3583;

/**
 * Reads `X-Amz-Client-Context`: a JSON object in base64.
 *
 * @returns The JSON text.
 * @throws {ServiceError} FIRN_INVALID_REQUEST.
 */
export function readClientContext(header: string | undefined): string | undefined {
  if (header === undefined || header === "") return undefined;
  if (header.length > MAX_BYTES) throw invalid(`is longer than ${MAX_BYTES} bytes`);
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(header)) throw invalid("is no base64");
  let value: unknown;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(header, "base64"));
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid("is no JSON in base64", cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid("is no JSON object");
  return text;
}

function invalid(what: string, cause?: unknown): ServiceError {
  return new ServiceError("FIRN_INVALID_REQUEST", `X-Amz-Client-Context ${what}.`, { cause });
}
