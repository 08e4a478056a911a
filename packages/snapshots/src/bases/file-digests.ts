import type { Digest } from "../store/digest.ts";

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
