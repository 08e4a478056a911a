import { errorCode } from "../errors.ts";
import type { Digest } from "./digest.ts";
import type { Descriptor } from "./manifest.ts";
import type { IndexEntry } from "./store-index.ts";

/** Something of a store that cannot be read, and may therefore refer to anything in it. */
export interface Doubt {
  /** What it is: a digest, a file, a line of the index. */
  readonly what: string;
  /** Why it cannot be read. */
  readonly error: unknown;
}

/** What a garbage collection did. */
export interface GarbageReport {
  /** Bytes of the blobs that were removed. */
  readonly freedBytes: number;
  readonly removedBlobs: number;
  /** Manifests that are not in the index any more: snapshots and what referred to them. */
  readonly removedManifests: readonly Digest[];
  /** If there are any, nothing was removed. */
  readonly doubts: readonly Doubt[];
}

/** What a catalog outside of the store needs of it. */
export interface CatalogRoots {
  readonly snapshots?: Iterable<Digest>;
  /** Blobs of no snapshot, such as an app image that is still to be loaded. */
  readonly blobs?: Iterable<Digest>;
}

/** What a manifest refers to, read from the store. */
export interface References {
  readonly blobs: readonly Descriptor[];
  /** The manifest underneath a diff. */
  readonly parent: Digest | null;
  /** The manifest that this one says something about: it is needed as long as that is. */
  readonly subject: Digest | undefined;
}

/** Where {@link markNeeded} starts. */
export interface Roots {
  /** Must be readable: what cannot be is a doubt. */
  readonly snapshots: Iterable<Digest>;
  /** Of blobs, or of manifests in the index. */
  readonly others: Iterable<Digest>;
}

/** What is needed, and what is not. */
export interface Marked {
  /** Digests of blobs, manifests among them. */
  readonly needed: ReadonlySet<Digest>;
  /** Manifests in the index that are not needed, with all that they refer to. */
  readonly unneeded: ReadonlyMap<Digest, References>;
  readonly doubts: readonly Doubt[];
}

/**
 * Finds out what of a store is needed: what roots name, what is underneath that, and what refers to it.
 *
 * @param read Reads a manifest; rejects if it cannot be.
 */
export async function markNeeded(
  entries: readonly IndexEntry[],
  roots: Roots,
  read: (digest: Digest) => Promise<References>,
): Promise<Marked> {
  const doubts: Doubt[] = [];
  const manifests = new Map<Digest, References | undefined>();
  const lookUp = async (digest: Digest): Promise<References | undefined> => {
    if (!manifests.has(digest)) {
      const found = await read(digest).catch((error: unknown) => {
        doubts.push({ what: digest, error });
        return undefined;
      });
      manifests.set(digest, found);
    }
    return manifests.get(digest);
  };
  const needed = new Set<Digest>();
  const need = async (digest: Digest): Promise<void> => {
    for (let next: Digest | null = digest; next !== null && !needed.has(next); ) {
      needed.add(next);
      const found: References | undefined = await lookUp(next);
      for (const blob of found?.blobs ?? []) needed.add(blob.digest);
      next = found?.parent ?? null;
    }
  };
  // All of them are read: one that cannot be may refer to anything, and be about something that is needed.
  for (const { digest } of entries) await lookUp(digest);
  const indexed = new Set(entries.map(({ digest }) => digest));
  for (const digest of roots.snapshots) await need(digest);
  for (const digest of roots.others) {
    if (indexed.has(digest)) await need(digest);
    else needed.add(digest);
  }
  for (let before = -1; before !== needed.size; ) {
    before = needed.size;
    for (const [digest, found] of manifests) {
      if (found?.subject !== undefined && needed.has(found.subject)) await need(digest);
    }
  }
  const unneeded = new Map<Digest, References>();
  for (const digest of indexed) {
    const found = manifests.get(digest);
    if (found !== undefined && !needed.has(digest)) unneeded.set(digest, found);
  }
  return { needed, unneeded, doubts };
}

/** A doubt in a sentence. */
export function describeDoubt({ what, error }: Doubt): string {
  const code = errorCode(error);
  const reason = error instanceof Error ? error.message : String(error);
  return `${what} cannot be read${code === undefined ? "" : ` (${code})`}: ${reason}`;
}
