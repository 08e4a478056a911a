import { SnapshotError } from "../errors.ts";
import type { BlobStore } from "./blob-store.ts";
import type { Digest } from "./digest.ts";
import type { DiskReserve } from "./disk-reserve.ts";
import { type Doubt, type GarbageReport, markNeeded, type Roots } from "./garbage.ts";
import type { Leases } from "./leases.ts";
import type { SnapshotReader } from "./snapshot-reader.ts";
import type { StoreIndex } from "./store-index.ts";

/** What garbage is collected from. */
export interface GarbageCollection {
  readonly index: StoreIndex;
  readonly reader: SnapshotReader;
  readonly blobs: BlobStore;
  readonly leases: Leases;
  readonly reserve: DiskReserve;
  /** Of whatever keeps something: catalog, tags, leases, what is being added. */
  readonly roots: Roots;
}

/** Removes what nothing needs. Nothing may be added, and nothing named, while this runs. */
export async function collectGarbage(parts: GarbageCollection): Promise<GarbageReport> {
  const { index, reader, blobs, leases, reserve, roots } = parts;
  const { needed, unneeded, doubts } = await mark(parts, roots);
  if (doubts.length > 0) return { freedBytes: 0, removedBlobs: 0, removedManifests: [], doubts };
  await leases.sweep();
  const named = new Set([...unneeded.values()].flatMap((one) => one.blobs.map(({ digest }) => digest)));
  const garbage = (await blobs.list()).filter(({ digest }) => !needed.has(digest));
  // First what nothing names, which makes room; then the index, and only then what it named.
  for (const { digest } of garbage) if (!named.has(digest)) await blobs.remove(digest);
  if (unneeded.size > 0) {
    const shorten = () => index.update((entries) => entries.filter(({ digest }) => !unneeded.has(digest)));
    await reserve.spend(shorten);
  }
  for (const digest of unneeded.keys()) reader.forget(digest);
  for (const { digest } of garbage) if (named.has(digest)) await blobs.remove(digest);
  await reserve.fill();
  return {
    freedBytes: garbage.reduce((sum, { size }) => sum + size, 0),
    removedBlobs: garbage.length,
    removedManifests: [...unneeded.keys()],
    doubts,
  };
}

async function mark({ index, reader, leases }: GarbageCollection, roots: Roots) {
  const read = (digest: Digest) => reader.references(digest);
  const marked = await markNeeded(index.entries, roots, read);
  const foreign: Doubt[] = index.foreign.map((line) => ({
    what: "A line of index.json",
    error: new SnapshotError("FIRN_STORE_FORMAT", `It is ${JSON.stringify(line).slice(0, 200)}.`),
  }));
  const unreadable: Doubt[] = [...leases.unreadable].map(([what, error]) => ({ what, error }));
  return { ...marked, doubts: [...foreign, ...unreadable, ...marked.doubts] };
}
