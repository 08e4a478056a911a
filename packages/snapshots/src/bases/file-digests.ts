import { stat } from "node:fs/promises";
import { SnapshotError } from "../errors.ts";
import { type Digest, digestOfFile } from "../store/digest.ts";

/** A file as it was when its digest was computed. */
export interface FileIdentity {
  readonly path: string;
  readonly size: number;
  /** Nanoseconds since 1970. */
  readonly modified: bigint;
  readonly inode: bigint;
}

/** Remembers digests of large files, so that they are computed once. Whoever has a database implements it there. */
export interface FileDigests {
  /** The digest of a file that has not changed since {@link rememberDigest}. */
  knownDigest(file: FileIdentity): Digest | undefined;
  /** Keeps the digest of a file. */
  rememberDigest(file: FileIdentity, digest: Digest): void;
}

/** Remembers digests as long as the program runs. */
export class MemoryFileDigests implements FileDigests {
  readonly #known = new Map<string, Digest>();

  knownDigest(file: FileIdentity): Digest | undefined {
    return this.#known.get(keyOf(file));
  }

  rememberDigest(file: FileIdentity, digest: Digest): void {
    this.#known.set(keyOf(file), digest);
  }
}

function keyOf({ path, size, modified, inode }: FileIdentity): string {
  return `${path} ${size} ${modified} ${inode}`;
}

/** A file with its digest, so that a snapshot can say what it was made from. */
export interface DigestedFile {
  readonly path: string;
  readonly digest: Digest;
}

/**
 * A file with its digest, which is computed if it is not known.
 *
 * @param what What the file is, for the error.
 * @throws {SnapshotError} FIRN_FILE_MISSING.
 */
export async function digestedFile(path: string, what: string, digests: FileDigests): Promise<DigestedFile> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  if (!found?.isFile()) {
    throw new SnapshotError(
      "FIRN_FILE_MISSING",
      `The ${what} ${path} is not there. Build it, or set its path.`,
    );
  }
  const identity = { path, size: Number(found.size), modified: found.mtimeNs, inode: found.ino };
  const known = digests.knownDigest(identity);
  if (known !== undefined) return { path, digest: known };
  const { digest } = await digestOfFile(path);
  digests.rememberDigest(identity, digest);
  return { path, digest };
}
