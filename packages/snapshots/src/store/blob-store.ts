import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { SnapshotError } from "../errors.ts";
import type { Claims } from "./claims.ts";
import { type Digest, digestOf, digestOfFile, isDigest } from "./digest.ts";
import { moveDurably, writeDurably } from "./durable-file.ts";
import { absent, type LayoutPaths, temporaryName } from "./image-layout.ts";
import type { Descriptor } from "./manifest.ts";
import type { SharedLock } from "./shared-lock.ts";

/** Most bytes of a blob that is read whole: a manifest or a config, not what a forged one may point to. */
const MAX_READ_BYTES = 4 * 1024 * 1024;

/**
 * Blobs by digest in an image layout: immutable from the moment they have their name. Adding one that is there already
 * replaces the file, which heals a damaged one and does not touch those who have the old one open.
 */
export class BlobStore {
  readonly #paths: LayoutPaths;
  readonly #claims: Claims;
  readonly #lock: SharedLock;

  /** @param parts.lock Held alone by who removes blobs. */
  constructor(paths: LayoutPaths, parts: { claims: Claims; lock: SharedLock }) {
    this.#paths = paths;
    this.#claims = parts.claims;
    this.#lock = parts.lock;
  }

  /** Where a blob is, whether it exists or not. */
  pathOf(digest: Digest): string {
    return join(this.#paths.blobs, digest.slice("sha256:".length));
  }

  /** Adds bytes as a blob. */
  async add(bytes: Uint8Array, mediaType: string): Promise<Descriptor> {
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
    const temporary = temporaryName(this.#paths, "blob");
    try {
      await this.#lock.shared(async () => {
        this.#claims.add(descriptor.digest);
        await writeDurably(temporary, this.pathOf(descriptor.digest), bytes);
      });
      return descriptor;
    } finally {
      await rm(temporary, { force: true });
    }
  }

  /**
   * Makes a file of the store's temporary folder a blob, hashing it on the way. The file is gone afterwards, whatever happens.
   *
   * @throws {Error} AbortError if `signal` is aborted.
   */
  async adopt(
    temporary: string,
    mediaType: string,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<Descriptor> {
    try {
      const descriptor = { mediaType, ...(await digestOfFile(temporary, options)) };
      await this.#name(temporary, descriptor.digest);
      return descriptor;
    } finally {
      await rm(temporary, { force: true });
    }
  }

  /** Copies a file from anywhere into the store, hashing it while it is copied. */
  async import(
    source: string,
    mediaType: string,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<Descriptor> {
    const temporary = temporaryName(this.#paths, "import");
    const hash = createHash("sha256");
    let size = 0;
    try {
      await pipeline(
        createReadStream(source, { highWaterMark: 1024 * 1024 }),
        async function* (chunks: AsyncIterable<Uint8Array>) {
          for await (const chunk of chunks) {
            hash.update(chunk);
            size += chunk.length;
            yield chunk;
          }
        },
        createWriteStream(temporary, { flags: "wx", mode: 0o600 }),
        options.signal === undefined ? {} : { signal: options.signal },
      );
      const descriptor: Descriptor = { mediaType, digest: `sha256:${hash.digest("hex")}`, size };
      await this.#name(temporary, descriptor.digest);
      return descriptor;
    } finally {
      await rm(temporary, { force: true });
    }
  }

  /**
   * Checks that a blob is there and as long as its descriptor says, in constant time.
   *
   * @throws {SnapshotError} FIRN_SNAPSHOT_MISSING or FIRN_SNAPSHOT_CORRUPT.
   */
  async check(descriptor: Descriptor): Promise<void> {
    const path = this.pathOf(descriptor.digest);
    const found = await stat(path).catch(absent);
    if (found === undefined) throw missing(descriptor.digest, descriptor.mediaType);
    if (!found.isFile() || found.size !== descriptor.size) {
      throw new SnapshotError(
        "FIRN_SNAPSHOT_CORRUPT",
        `Blob ${descriptor.digest} (${descriptor.mediaType}) has ${found.size} bytes instead of ${descriptor.size}. Make the snapshot again.`,
      );
    }
  }

  /**
   * Reads all of a blob and compares it with its digest. Takes as long as reading and hashing the file.
   *
   * @throws {SnapshotError} FIRN_SNAPSHOT_MISSING or FIRN_SNAPSHOT_CORRUPT.
   */
  async verify(descriptor: Descriptor, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    await this.check(descriptor);
    const { digest } = await digestOfFile(this.pathOf(descriptor.digest), options);
    if (digest !== descriptor.digest) throw forged(descriptor.digest, descriptor.mediaType, digest);
  }

  /**
   * Reads a small blob and verifies it.
   *
   * @throws {SnapshotError} FIRN_SNAPSHOT_MISSING or FIRN_SNAPSHOT_CORRUPT.
   */
  async read(digest: Digest, mediaType: string): Promise<Uint8Array> {
    const file = await open(this.pathOf(digest)).catch(absent);
    if (file === undefined) throw missing(digest, mediaType);
    let bytes: Uint8Array;
    try {
      const { size } = await file.stat();
      if (size > MAX_READ_BYTES) {
        const message = `Blob ${digest} (${mediaType}) has ${size} bytes, more than the ${MAX_READ_BYTES} that it may have.`;
        throw new SnapshotError("FIRN_SNAPSHOT_CORRUPT", message);
      }
      bytes = await file.readFile();
    } finally {
      await file.close();
    }
    const actual = digestOf(bytes);
    if (actual !== digest) throw forged(digest, mediaType, actual);
    return bytes;
  }

  /** All blobs that are there, with their sizes in bytes. */
  async list(): Promise<{ digest: Digest; size: number }[]> {
    const blobs: { digest: Digest; size: number }[] = [];
    for (const name of await readdir(this.#paths.blobs)) {
      const digest = `sha256:${name}`;
      if (!isDigest(digest)) continue;
      const found = await stat(join(this.#paths.blobs, name)).catch(absent);
      if (found?.isFile()) blobs.push({ digest, size: found.size });
    }
    return blobs;
  }

  /** Removes a blob, if it is there. */
  async remove(digest: Digest): Promise<void> {
    await rm(this.pathOf(digest), { force: true });
  }

  /** Gives a complete file its name, at which it is claimed already. */
  async #name(temporary: string, digest: Digest): Promise<void> {
    await this.#lock.shared(async () => {
      this.#claims.add(digest);
      await moveDurably(temporary, this.pathOf(digest));
    });
  }
}

function missing(digest: Digest, mediaType: string): SnapshotError {
  return new SnapshotError(
    "FIRN_SNAPSHOT_MISSING",
    `Blob ${digest} (${mediaType}) is not in the store. Make the snapshot again.`,
  );
}

function forged(digest: Digest, mediaType: string, actual: Digest): SnapshotError {
  return new SnapshotError(
    "FIRN_SNAPSHOT_CORRUPT",
    `Blob ${digest} (${mediaType}) holds other bytes: their digest is ${actual}. Make the snapshot again.`,
  );
}
