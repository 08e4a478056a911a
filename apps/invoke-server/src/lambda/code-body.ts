import { open, rm } from "node:fs/promises";
import { ServiceError } from "../service-error.ts";
import { CodeScanError, CodeScanner } from "./code-scanner.ts";

/** Largest archive in the body of a call, as AWS has it: 50 MiB. */
export const MAX_ZIP_BYTES = 50 * 1024 * 1024;

/** Most of the body beside the archive. */
const MAX_FIELDS_BYTES = 64 * 1024;
const MAX_BODY_BYTES = Math.ceil((MAX_ZIP_BYTES * 4) / 3) + MAX_FIELDS_BYTES;

/**
 * Reads the body of CreateFunction or UpdateFunctionCode. The archive in it is decoded as it arrives and goes to a file: in
 * memory there is never more than a piece of it.
 *
 * @param zipPath Keys of the archive's field, joined by dots. In the returned fields it is an empty string.
 * @param file Where the archive goes. The file is gone if this throws.
 * @param onChunk Told how many bytes are held in memory after each piece.
 * @throws {ServiceError} FIRN_PAYLOAD_TOO_LARGE, FIRN_INVALID_REQUEST.
 */
export async function readCodeBody(
  request: Request,
  zipPath: string,
  file: string,
  onChunk: (bufferedBytes: number) => void = () => {},
): Promise<{ fields: unknown; hasZip: boolean }> {
  if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  const scanner = new CodeScanner(zipPath, MAX_FIELDS_BYTES);
  const archive = await open(file, "wx", 0o600);
  try {
    let zipBytes = 0;
    for await (const chunk of request.body ?? []) {
      for (const bytes of scan(() => scanner.push(chunk))) {
        zipBytes += bytes.length;
        if (zipBytes > MAX_ZIP_BYTES) throw tooLarge();
        await archive.write(bytes);
      }
      onChunk(scanner.bufferedBytes + chunk.length);
    }
    return { fields: scan(() => scanner.end()), hasZip: scanner.found };
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  } finally {
    await archive.close();
  }
}

function scan<T>(step: () => T): T {
  try {
    return step();
  } catch (cause) {
    const { message } = cause as Error;
    const text =
      cause instanceof CodeScanError ? message : `Could not parse request body into json: ${message}`;
    throw new ServiceError("FIRN_INVALID_REQUEST", text, { cause });
  }
}

function tooLarge(): ServiceError {
  return new ServiceError(
    "FIRN_PAYLOAD_TOO_LARGE",
    `An archive in a request of the Lambda API is at most ${MAX_ZIP_BYTES} bytes. PUT /functions/{name} takes larger ones.`,
  );
}
