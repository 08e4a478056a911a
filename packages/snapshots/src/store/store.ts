import { rm } from "node:fs/promises";
import { SnapshotError } from "../errors.ts";
import { BlobStore } from "./blob-store.ts";
import { Claims } from "./claims.ts";
import type { Digest } from "./digest.ts";
import { DiskReserve } from "./disk-reserve.ts";
import type { CatalogRoots, Doubt, GarbageReport } from "./garbage.ts";
import { collectGarbage } from "./garbage-collector.ts";
import { type LayoutPaths, layoutPaths, makeRoot, openLayout, temporaryName } from "./image-layout.ts";
import { type Lease, Leases } from "./leases.ts";
import {
  type Descriptor,
  encodeConfig,
  encodeManifest,
  type SnapshotConfig,
  type SnapshotManifest,
} from "./manifest.ts";
import { ANNOTATION, ARTIFACT_TYPE, MEDIA_TYPE } from "./media-types.ts";
import { EMPTY_CONFIG, encodeReferrer, type Referrer } from "./referrer.ts";
import { SharedLock } from "./shared-lock.ts";
import { type LocatedSnapshot, SnapshotReader } from "./snapshot-reader.ts";
import { type IndexEntry, StoreIndex, tagOf } from "./store-index.ts";
import { StoreLock } from "./store-lock.ts";
import { requireTag } from "./tag.ts";

/** The steps of publishing, in order: after each the store is as durable as that step made it. */
export type PublishStep = "start" | "memory" | "state" | "scratch" | "config" | "manifest" | "index";

/** A new snapshot as the VMM wrote it, into files of {@link Store.temporaryPath}. */
export interface NewSnapshot {
  readonly config: SnapshotConfig;
  readonly memoryPath: string;
  readonly statePath: string;
  /** The scratch disk's contents, as `packScratch` writes them. */
  readonly scratchPath?: string | undefined;
  /** The app image's blob, already in the store. */
  readonly app?: Descriptor | undefined;
  /** Kept in the manifest. */
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  /** What the VMM reported. It varies from one time to the next, so it is kept beside the snapshot: see {@link Store.describe}. */
  readonly report?: Readonly<Record<string, number>> | undefined;
}

/** What a store knows of a snapshot beside what it consists of. */
export interface SnapshotDescription {
  /** When it was published, in ISO 8601. */
  readonly created: string;
  /** What the VMM reported when it was taken, in bytes and microseconds. */
  readonly report: Readonly<Record<string, number>>;
  readonly tags: readonly string[];
}

/** How to open a store. */
export interface StoreOptions {
  /** What a catalog needs, asked at each garbage collection. */
  readonly catalog?: (() => CatalogRoots) | undefined;
  /** Told why a garbage collection removed nothing. */
  readonly onDoubts?: ((doubts: readonly Doubt[]) => void) | undefined;
  /** Called after each durable step of publishing. */
  readonly onPublishStep?: ((step: PublishStep) => void) | undefined;
}

/**
 * Snapshots on disk, as an OCI image layout. Blobs are verified when they are published and trusted when a microVM is
 * started from them, apart from their length. Whatever moment a process dies at, the store opens again and holds every
 * snapshot whose `publish` resolved.
 *
 * A snapshot stays as long as something needs it: a tag, a lease, the catalog, another snapshot on top of it, or a task of
 * {@link Store.adding} that runs. {@link Store.collectGarbage} removes the others.
 */
export class Store implements Disposable {
  readonly blobs: BlobStore;
  readonly #paths: LayoutPaths;
  readonly #storeLock: StoreLock;
  readonly #index: StoreIndex;
  readonly #leases: Leases;
  readonly #reserve: DiskReserve;
  readonly #options: StoreOptions;
  /** Held alone by garbage collection: neither blobs nor what keeps them may be added meanwhile. */
  readonly #lock = new SharedLock();
  readonly #claims = new Claims();
  readonly #reader: SnapshotReader;

  private constructor(parts: {
    paths: LayoutPaths;
    lock: StoreLock;
    index: StoreIndex;
    leases: Leases;
    reserve: DiskReserve;
    options: StoreOptions;
  }) {
    this.#paths = parts.paths;
    this.#storeLock = parts.lock;
    this.#index = parts.index;
    this.#leases = parts.leases;
    this.#reserve = parts.reserve;
    this.#options = parts.options;
    this.blobs = new BlobStore(parts.paths, { claims: this.#claims, lock: this.#lock });
    this.#reader = new SnapshotReader(this.blobs, parts.index);
  }

  /**
   * Opens the store in a folder, which is made if absent, readable by this user alone. One process at a time has it open.
   *
   * @throws {SnapshotError} FIRN_STORE_FORMAT if the folder holds something else, FIRN_STORE_IN_USE if another process has it open.
   */
  static async open(root: string, options: StoreOptions = {}): Promise<Store> {
    const paths = layoutPaths(root);
    await makeRoot(paths);
    const lock = StoreLock.take(paths.lock);
    try {
      await openLayout(paths);
      const index = await StoreIndex.open(paths);
      const leases = await Leases.open(paths.leases, (label) => temporaryName(paths, label));
      const reserve = new DiskReserve(paths.reserve);
      await reserve.fill();
      return new Store({ paths, lock, index, leases, reserve, options });
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Lets another process open the store. Nothing of it may be under way. May be called more than once. */
  close(): void {
    this.#storeLock.release();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A path in the store's file system for a file that is going to be published. Removed at the next open if left behind. */
  temporaryPath(label: string): string {
    return temporaryName(this.#paths, label);
  }

  /** Runs a task that adds blobs or snapshots: none of them, nor what it claims, is garbage before it ends. */
  adding<T>(task: () => Promise<T>): Promise<T> {
    return this.#claims.during(task);
  }

  /** Keeps a blob or snapshot until all tasks that run now in {@link adding} have ended. */
  claim(digest: Digest): void {
    this.#claims.add(digest);
  }

  /** Does something that will free room, such as deleting a row of a catalog, with the room that is set aside for it on a full disk. */
  freeing<T>(task: () => T | Promise<T>): Promise<T> {
    return this.#reserve.spend(task);
  }

  /**
   * Publishes a snapshot: hashes its files, makes them blobs, and at last adds it to the index.
   *
   * @param options.tag Given to it in the same step.
   * @throws {SnapshotError} FIRN_SNAPSHOT_MISSING if its parent is not in the store.
   */
  publish(
    snapshot: NewSnapshot,
    options: { tag?: string | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<SnapshotManifest> {
    return this.adding(() => this.#publish(snapshot, options));
  }

  async #publish(
    snapshot: NewSnapshot,
    options: { tag?: string | undefined; signal?: AbortSignal | undefined },
  ): Promise<SnapshotManifest> {
    const { config, memoryPath, statePath, scratchPath, app, annotations } = snapshot;
    const step = (name: PublishStep) => this.#options.onPublishStep?.(name);
    try {
      if (options.tag !== undefined) requireTag(options.tag);
      if (config.parent !== null) {
        this.claim(config.parent);
        await this.read(config.parent);
      }
      step("start");
      const memory = await this.blobs.adopt(memoryPath, MEDIA_TYPE.memory, options);
      step("memory");
      const state = await this.blobs.adopt(statePath, MEDIA_TYPE.state, options);
      step("state");
      const scratch =
        scratchPath === undefined
          ? undefined
          : await this.blobs.adopt(scratchPath, MEDIA_TYPE.scratch, options);
      step("scratch");
      const configBlob = await this.blobs.add(encodeConfig(config), MEDIA_TYPE.config);
      step("config");
      const bytes = encodeManifest({ config: configBlob, memory, state, app, scratch, annotations });
      const manifest = await this.blobs.add(bytes, MEDIA_TYPE.manifest);
      step("manifest");
      await this.#addToIndex(
        {
          ...manifest,
          mediaType: MEDIA_TYPE.manifest,
          artifactType: ARTIFACT_TYPE,
          annotations: indexAnnotations(snapshot),
        },
        options.tag,
      );
      step("index");
      return await this.read(manifest.digest);
    } finally {
      for (const path of [memoryPath, statePath, scratchPath]) {
        if (path !== undefined) await rm(path, { force: true });
      }
    }
  }

  /**
   * Publishes the working set of a snapshot, in place of the one that it had. The snapshot stays what it is.
   *
   * @param path The working set as the VMM wrote it, a file of {@link Store.temporaryPath}.
   */
  async addWorkingSet(
    snapshot: SnapshotManifest,
    path: string,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<Referrer> {
    return this.addReferrer(snapshot.digest, path, MEDIA_TYPE.workingSet, options);
  }

  /**
   * Publishes something about a snapshot, in place of what there was of the same type. It goes when the snapshot goes.
   *
   * @param path A file of {@link Store.temporaryPath}.
   */
  addReferrer(
    snapshot: Digest,
    path: string,
    mediaType: string,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<Referrer> {
    return this.adding(async () => {
      try {
        const subject = this.#index.entries.find(({ digest }) => digest === snapshot);
        if (subject === undefined) throw notInIndex(snapshot);
        const { digest, size } = subject;
        const layer = await this.blobs.adopt(path, mediaType, options);
        const config = await this.blobs.add(EMPTY_CONFIG, MEDIA_TYPE.empty);
        const bytes = encodeReferrer({ mediaType: MEDIA_TYPE.manifest, digest, size }, config, layer);
        const former = await this.referrers(snapshot, mediaType);
        const manifest = await this.blobs.add(bytes, MEDIA_TYPE.manifest);
        const entry: IndexEntry = { ...manifest, mediaType: MEDIA_TYPE.manifest, artifactType: mediaType };
        await this.#lock.shared(() =>
          this.#index.update((entries) => {
            const others = entries.filter((one) => former.every((old) => old.digest !== one.digest));
            return [...others.filter((one) => one.digest !== entry.digest), entry];
          }),
        );
        return await this.#reader.readReferrer(manifest.digest);
      } finally {
        await rm(path, { force: true });
      }
    });
  }

  /**
   * Reads a snapshot's manifest and config, and verifies both, once a process.
   *
   * @throws {SnapshotError} FIRN_SNAPSHOT_MISSING, FIRN_SNAPSHOT_CORRUPT or FIRN_SNAPSHOT_INCOMPATIBLE.
   */
  read(digest: Digest): Promise<SnapshotManifest> {
    return this.#reader.read(digest);
  }

  /**
   * Finds all that a start from a snapshot needs, and checks that it is there at its full length.
   *
   * @throws {SnapshotError} FIRN_SNAPSHOT_MISSING, FIRN_SNAPSHOT_CORRUPT or FIRN_SNAPSHOT_INCOMPATIBLE.
   */
  locate(digest: Digest): Promise<LocatedSnapshot> {
    return this.#reader.locate(digest);
  }

  /**
   * Reads every byte of a snapshot, of all under it and of what refers to it, and compares them with their digests.
   *
   * @throws {SnapshotError} FIRN_SNAPSHOT_MISSING or FIRN_SNAPSHOT_CORRUPT, naming the first blob that is wrong.
   */
  verify(digest: Digest, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    return this.#reader.verify(digest, options);
  }

  /** Whether {@link verify} fails for what is in the store, and not for want of descriptors or memory. */
  isDamaged(digest: Digest): Promise<boolean> {
    return this.#reader.isDamaged(digest);
  }

  /** All published snapshots that can be read. One that cannot is left out: {@link verify} tells why. */
  list(): Promise<SnapshotManifest[]> {
    return this.#reader.list();
  }

  /** What refers to a snapshot and can be read, in the order in which it was added. */
  referrers(snapshot: Digest, mediaType?: string): Promise<Referrer[]> {
    return this.#reader.referrers(snapshot, mediaType);
  }

  /** Bytes that a start from this snapshot needs in the store: memory and state of the chain, manifests and configs, not the app. */
  chainBytes(digest: Digest): Promise<number> {
    return this.#reader.chainBytes(digest);
  }

  /** Whether a snapshot is in the index. */
  has(snapshot: Digest): boolean {
    return this.#index.entries.some(({ digest }) => digest === snapshot);
  }

  /** When and how a snapshot was taken, and its tags. @throws {SnapshotError} FIRN_SNAPSHOT_MISSING. */
  describe(snapshot: Digest): SnapshotDescription {
    const entries = this.#index.entries.filter(({ digest }) => digest === snapshot);
    const [first] = entries;
    if (first === undefined) throw notInIndex(snapshot);
    const { [ANNOTATION.created]: created = "", [ANNOTATION.report]: report = "{}" } =
      first.annotations ?? {};
    return { created, report: JSON.parse(report), tags: entries.flatMap((entry) => tagOf(entry) ?? []) };
  }

  /** Gives a snapshot a name, which keeps it. Another snapshot that had the name loses it. */
  async tag(name: string, snapshot: Digest): Promise<void> {
    requireTag(name);
    await this.#lock.shared(async () => {
      const entry = this.#index.entries.find(({ digest }) => digest === snapshot);
      if (entry === undefined) throw notInIndex(snapshot);
      await this.#addToIndex(entry, name);
    });
  }

  /** Takes a name away; that there is none is no error. What had it stays until {@link collectGarbage}. */
  async untag(name: string): Promise<void> {
    await this.freeing(() =>
      this.#index.update((entries) => entries.filter((entry) => tagOf(entry) !== name)),
    );
  }

  /** The snapshot that has a name, or `undefined`. */
  tagged(name: string): Digest | undefined {
    return this.#index.entries.find((entry) => tagOf(entry) === name)?.digest;
  }

  /** All tags with their snapshots. */
  tags(): Map<string, Digest> {
    const tags = new Map<string, Digest>();
    for (const entry of this.#index.entries) {
      const tag = tagOf(entry);
      if (tag !== undefined) tags.set(tag, entry.digest);
    }
    return tags;
  }

  /**
   * Holds snapshots or blobs, so that they are not garbage, until released.
   *
   * @param options.name With `expires`, a date: the lease is kept on disk, outlives the process, and ends at that date at the latest. One of
   *   the same name is replaced. Without, it ends with the process.
   * @throws {SnapshotError} FIRN_INVALID_PARAMETER for a name that is none.
   */
  lease(digests: readonly Digest[], options?: { name: string; expires: Date }): Promise<Lease> {
    return this.#lock.shared(async () => {
      if (options === undefined) return this.#leases.hold(digests);
      return this.#leases.holdUntil(options.name, digests, options.expires.getTime());
    });
  }

  /** Ends a lease that an earlier process may have taken; that there is none is no error. */
  endLease(name: string): Promise<void> {
    return this.#leases.release(name);
  }

  /** Bytes of all blobs, each counted once. */
  async sizeBytes(): Promise<number> {
    return (await this.blobs.list()).reduce((sum, blob) => sum + blob.size, 0);
  }

  /** Takes a snapshot out of the index, and its tags with it. Its blobs stay until {@link collectGarbage}. Works on a full disk. */
  async remove(digest: Digest): Promise<void> {
    this.#reader.forget(digest);
    await this.freeing(() =>
      this.#index.update((entries) => entries.filter((entry) => entry.digest !== digest)),
    );
  }

  /**
   * Removes every snapshot and blob that nothing needs. Works on a full disk.
   *
   * What cannot be read is not removed: if anything in the index, or underneath it, cannot be, nothing is, and the report says what. A
   * snapshot that is beyond repair and in the way is taken out by {@link remove}.
   */
  collectGarbage(): Promise<GarbageReport> {
    return this.#lock.alone(async () => {
      const { snapshots = [], blobs = [] } = this.#options.catalog?.() ?? {};
      const roots = {
        snapshots: [...snapshots, ...this.tags().values()],
        others: [...blobs, ...this.#leases.digests(), ...this.#claims],
      };
      const [index, leases, reserve] = [this.#index, this.#leases, this.#reserve];
      const report = await collectGarbage({
        index,
        leases,
        reserve,
        reader: this.#reader,
        blobs: this.blobs,
        roots,
      });
      if (report.doubts.length > 0) this.#options.onDoubts?.(report.doubts);
      return report;
    });
  }

  #addToIndex(entry: IndexEntry, tag: string | undefined): Promise<void> {
    const { [ANNOTATION.tag]: _, ...annotations } = entry.annotations ?? {};
    const plain = { ...entry, annotations };
    return this.#lock.shared(() =>
      this.#index.update((entries) => {
        const isThere = (one: IndexEntry) => one.digest === entry.digest && tagOf(one) === undefined;
        const added = entries.some(isThere) ? entries : [...entries, plain];
        if (tag === undefined) return added;
        const tagged = { ...plain, annotations: { ...annotations, [ANNOTATION.tag]: tag } };
        return [...added.filter((one) => tagOf(one) !== tag), tagged];
      }),
    );
  }
}

function notInIndex(digest: Digest): SnapshotError {
  return new SnapshotError("FIRN_SNAPSHOT_MISSING", `Snapshot ${digest} is not in the store. Make it again.`);
}

function indexAnnotations({ report = {} }: NewSnapshot): Record<string, string> {
  return {
    [ANNOTATION.created]: new Date().toISOString(),
    [ANNOTATION.report]: JSON.stringify(report),
  };
}
