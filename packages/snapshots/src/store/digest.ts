import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { SnapshotError } from "../errors.ts";

/** SHA-256 of some bytes: "sha256:" and 64 lower-case hexadecimal digits. */
export type Digest = `sha256:${string}`;

const PATTERN = /^sha256:[0-9a-f]{64}$/;

/** Whether `text` is a well-formed digest. */
export function isDigest(text: unknown): text is Digest {
  return typeof text === "string" && PATTERN.test(text);
}

/**
 * Checks the form of a digest.
 *
 * @throws {SnapshotError} FIRN_SNAPSHOT_CORRUPT if `text` is no digest.
 */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new SnapshotError(
    "FIRN_SNAPSHOT_CORRUPT",
    `"${text.slice(0, 80)}" is no digest: expected sha256: and 64 hexadecimal digits.`,
  );
}

/** The digest of bytes in memory. */
export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** The digest and the length in bytes of a file, read as a stream. */
export async function digestOfFile(
  path: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<{ digest: Digest; size: number }> {
  const hash = createHash("sha256");
  let size = 0;
  await pipeline(
    createReadStream(path, { highWaterMark: 1024 * 1024 }),
    async (chunks: AsyncIterable<Uint8Array>) => {
      for await (const chunk of chunks) {
        hash.update(chunk);
        size += chunk.length;
      }
    },
    options.signal === undefined ? {} : { signal: options.signal },
  );
  return { digest: `sha256:${hash.digest("hex")}`, size };
}
