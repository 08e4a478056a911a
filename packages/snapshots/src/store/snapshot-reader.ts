import { errorCode, SnapshotError } from "../errors.ts";
import type { BlobStore } from "./blob-store.ts";
import type { Digest } from "./digest.ts";
import type { References } from "./garbage.ts";
import { type Descriptor, decodeManifest, type SnapshotManifest } from "./manifest.ts";
import { ARTIFACT_TYPE, MEDIA_TYPE } from "./media-types.ts";
import { decodeReferrer, type Referrer } from "./referrer.ts";
import type { IndexEntry, StoreIndex } from "./store-index.ts";

/** Longest chain of snapshots that is followed: a forged store must not loop. */
const MAX_CHAIN = 16;

/** Where the parts of a snapshot and of all under it are, base first. */
export interface LocatedSnapshot {
  readonly manifest: SnapshotManifest;
  /** The chain, base first, `manifest` last. */
  readonly chain: readonly SnapshotManifest[];
  readonly layers: readonly { path: string; digest: Digest }[];
  readonly statePath: string;
  readonly appDisk?: { path: string; digest: Digest };
  readonly scratchPath?: string;
  readonly workingSetPath?: string;
}

/** Reads what is in a store. Manifests are read and verified once. */
export class SnapshotReader {
  readonly #blobs: BlobStore;
  readonly #index: StoreIndex;
  /** A digest stands for one manifest for ever. */
  readonly #manifests = new Map<Digest, SnapshotManifest>();
  readonly #referrers = new Map<Digest, Referrer>();

  constructor(blobs: BlobStore, index: StoreIndex) {
    this.#blobs = blobs;
    this.#index = index;
  }

  /**
   * Reads a snapshot's manifest and config, and verifies both, once a process.
   *
   * @throws {SnapshotError} FIRN_SNAPSHOT_MISSING, FIRN_SNAPSHOT_CORRUPT or FIRN_SNAPSHOT_INCOMPATIBLE.
   */
  async read(digest: Digest): Promise<SnapshotManifest> {
    const known = this.#manifests.get(digest);
    if (known !== undefined) return known;
    const bytes = await this.#blobs.read(digest, MEDIA_TYPE.manifest);
    const manifest = await decodeManifest(bytes, (config) =>
      this.#blobs.read(config.digest, MEDIA_TYPE.config),
    );
    this.#manifests.set(digest, manifest);
    return manifest;
  }

  /**
   * Finds all that a start from a snapshot needs, and checks that it is there at its full length.
   *
   * @throws {SnapshotError} FIRN_SNAPSHOT_MISSING, FIRN_SNAPSHOT_CORRUPT or FIRN_SNAPSHOT_INCOMPATIBLE.
   */
  async locate(digest: Digest): Promise<LocatedSnapshot> {
    const chain: SnapshotManifest[] = [];
    for (let next: Digest | null = digest; next !== null; ) {
      if (chain.length === MAX_CHAIN) {
        throw new SnapshotError(
          "FIRN_SNAPSHOT_CORRUPT",
          `Snapshot ${digest} has more than ${MAX_CHAIN} layers.`,
        );
      }
      const manifest: SnapshotManifest = await this.read(next);
      chain.unshift(manifest);
      next = manifest.config.parent;
    }
    const manifest = chain.at(-1) as SnapshotManifest;
    const { app, scratch, state } = manifest;
    const workingSet = (await this.referrers(digest, MEDIA_TYPE.workingSet)).at(-1)?.layers[0];
    const needed = [...chain.map((one) => one.memory), state, app, scratch];
    await Promise.all(needed.map((blob) => (blob === undefined ? undefined : this.#blobs.check(blob))));
    // It makes starts faster, and nothing else: one that is gone is no reason to have no start.
    const workingSetIsThere =
      workingSet !== undefined && (await this.#blobs.check(workingSet).then(() => true, unlessUnusable));
    const pathOf = (blob: Descriptor) => this.#blobs.pathOf(blob.digest);
    return {
      manifest,
      chain,
      layers: chain.map(({ memory }) => ({ path: pathOf(memory), digest: memory.digest })),
      statePath: pathOf(state),
      ...(app === undefined ? {} : { appDisk: { path: pathOf(app), digest: app.digest } }),
      ...(scratch === undefined ? {} : { scratchPath: pathOf(scratch) }),
      ...(workingSetIsThere ? { workingSetPath: pathOf(workingSet) } : {}),
    };
  }

  /**
   * Reads every byte of a snapshot, of all under it and of what refers to it, and compares them with their digests.
   *
   * @throws {SnapshotError} FIRN_SNAPSHOT_MISSING or FIRN_SNAPSHOT_CORRUPT, naming the first blob that is wrong.
   */
  async verify(digest: Digest, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { chain } = await this.locate(digest);
    for (const manifest of [...chain, ...(await this.referrers(digest))]) {
      for (const blob of manifest.blobs) await this.#blobs.verify(blob, options);
    }
  }

  /** Whether {@link verify} fails for what is in the store, and not for want of descriptors or memory. */
  isDamaged(digest: Digest): Promise<boolean> {
    return this.verify(digest).then(
      () => false,
      (error: unknown) => UNUSABLE.has(errorCode(error) ?? ""),
    );
  }

  /** All published snapshots that can be read. One that cannot is left out: {@link verify} tells why. */
  async list(): Promise<SnapshotManifest[]> {
    const manifests = await Promise.all(
      this.#digests().map((digest) => this.read(digest).catch(() => undefined)),
    );
    return manifests.filter((manifest) => manifest !== undefined);
  }

  /** What refers to a snapshot and can be read, in the order in which it was added. */
  async referrers(snapshot: Digest, mediaType?: string): Promise<Referrer[]> {
    const entries = this.#index.entries.filter(
      ({ artifactType }) =>
        artifactType !== ARTIFACT_TYPE && (mediaType === undefined || artifactType === mediaType),
    );
    const found = await Promise.all(
      entries.map(({ digest }) => this.readReferrer(digest).catch(unlessUnusable)),
    );
    return found.filter((one) => one !== undefined).filter(({ subject }) => subject === snapshot);
  }

  /** Bytes that a start from this snapshot needs in the store: memory and state of the chain, manifests and configs, not the app. */
  async chainBytes(digest: Digest): Promise<number> {
    const { chain } = await this.locate(digest);
    const sizes = new Map<string, number>();
    for (const manifest of [...chain, ...(await this.referrers(digest))]) {
      for (const blob of manifest.blobs) {
        if (blob.mediaType !== MEDIA_TYPE.app) sizes.set(blob.digest, blob.size);
      }
    }
    return [...sizes.values()].reduce((sum, size) => sum + size, 0);
  }

  /** What a manifest refers to, whatever it is. It is read anew: what was once in memory may be gone from the disk. */
  async references(digest: Digest): Promise<References> {
    const entry = this.#index.entries.find((one) => one.digest === digest);
    if (entry?.artifactType !== undefined && entry.artifactType !== ARTIFACT_TYPE) {
      const bytes = await this.#blobs.read(digest, MEDIA_TYPE.manifest);
      const { blobs, subject } = decodeReferrer(bytes);
      return { blobs, subject, parent: null };
    }
    this.#manifests.delete(digest);
    const { blobs, config } = await this.read(digest);
    return { blobs, parent: config.parent, subject: undefined };
  }

  /** Reads a manifest that is no snapshot's. @throws {SnapshotError} As {@link read}. */
  async readReferrer(digest: Digest): Promise<Referrer> {
    const known = this.#referrers.get(digest);
    if (known !== undefined) return known;
    const referrer = decodeReferrer(await this.#blobs.read(digest, MEDIA_TYPE.manifest));
    this.#referrers.set(digest, referrer);
    return referrer;
  }

  /** Reads a manifest anew when it is next wanted. */
  forget(digest: Digest): void {
    this.#manifests.delete(digest);
    this.#referrers.delete(digest);
  }

  /** Digests of the snapshots in the index. */
  #digests(): Digest[] {
    const isSnapshot = ({ artifactType = ARTIFACT_TYPE }: IndexEntry) => artifactType === ARTIFACT_TYPE;
    return [...new Set(this.#index.entries.filter(isSnapshot).map(({ digest }) => digest))];
  }
}

/** The store says that something of it is not as it should be. */
const UNUSABLE = new Set([
  "FIRN_SNAPSHOT_CORRUPT",
  "FIRN_SNAPSHOT_MISSING",
  "FIRN_SNAPSHOT_INCOMPATIBLE",
  // The medium's own words.
  "EIO",
  "EBADMSG",
  "EUCLEAN",
]);

function unlessUnusable(error: unknown): undefined {
  if (!UNUSABLE.has(errorCode(error) ?? "")) throw error;
}
