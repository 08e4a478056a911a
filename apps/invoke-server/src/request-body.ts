import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ServiceError } from "./service-error.ts";

/** Largest payload of an invocation, each way: 6 MiB. */
export const MAX_PAYLOAD_BYTES = 6 * 1024 * 1024;

/** Largest archive of a deploy: 128 MiB. */
export const MAX_ARCHIVE_BYTES = 128 * 1024 * 1024;

/** As much of a Request as is needed to read it. */
export interface ReadableRequest {
  readonly headers: Headers;
  readonly body: AsyncIterable<Uint8Array> | null;
}

/**
 * Reads a request's body, but not more than is allowed.
 *
 * @throws {ServiceError} FIRN_PAYLOAD_TOO_LARGE.
 */
export async function readBody(request: ReadableRequest, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of limited(request, limit)) parts.push(part);
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
}

/**
 * Writes a request's body to a file, but not more than is allowed. The file is gone if this throws.
 *
 * @throws {ServiceError} FIRN_PAYLOAD_TOO_LARGE.
 */
export async function saveBody(request: Request, path: string, limit: number): Promise<void> {
  try {
    await pipeline(Readable.from(limited(request, limit)), createWriteStream(path, { flags: "wx" }));
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

/**
 * A request's body as it arrives, of which no more is given than is allowed.
 *
 * @throws {ServiceError} FIRN_PAYLOAD_TOO_LARGE, at once if the request says that it is longer, else while it is read.
 */
export function streamBody(request: ReadableRequest, limit: number): AsyncIterable<Uint8Array> {
  if (announcedBytes(request) > limit) throw tooLarge(limit);
  return limited(request, limit);
}

/** How long a request says that its body is, in bytes; `NaN` if it does not say. */
export function announcedBytes({ headers }: ReadableRequest): number {
  const length = headers.get("content-length");
  if (length !== null) return Number(length);
  return headers.has("transfer-encoding") ? Number.NaN : 0;
}

async function* limited(request: ReadableRequest, limit: number): AsyncGenerator<Uint8Array> {
  if (announcedBytes(request) > limit) throw tooLarge(limit);
  let received = 0;
  for await (const part of request.body ?? []) {
    received += part.length;
    if (received > limit) throw tooLarge(limit);
    yield part;
  }
}

function tooLarge(limit: number): ServiceError {
  return new ServiceError(
    "FIRN_PAYLOAD_TOO_LARGE",
    `Request must be smaller than ${limit} bytes for this operation.`,
  );
}
