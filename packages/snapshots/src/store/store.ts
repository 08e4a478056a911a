import { rm } from "node:fs/promises";
import { SnapshotError } from "../errors.ts";
import { BlobStore } from "./blob-store.ts";
import type { Digest } from "./digest.ts";
import {
  type LayoutPaths,
  layoutPaths,
  openLayout,
  readIndex,
  temporaryName,
  writeIndex,
} from "./image-layout.ts";
import {
  type Descriptor,
  decodeManifest,
  encodeConfig,
  encodeManifest,
  type SnapshotConfig,
  type SnapshotManifest,
} from "./manifest.ts";
import { MEDIA_TYPE } from "./media-types.ts";
import { SharedLock } from "./shared-lock.ts";

/** Longest chain of snapshots that is followed: a forged store must not loop. */
const MAX_CHAIN = 16;

/** The steps of publishing, in order: after each the store is as durable as that step made it. */
export type PublishStep = "start" | "memory" | "state" | "config" | "manifest" | "index";

/** A new snapshot as the VMM wrote it, into files of {@link Store.temporaryPath}. */
export interface NewSnapshot {
  readonly config: SnapshotConfig;
  readonly memoryPath: string;
  readonly statePath: string;
  /** The app image's blob, already in the store. */
  readonly app?: Descriptor;
}

/** Where the parts of a snapshot and of all under it are, base first. */
export interface LocatedSnapshot {
  readonly manifest: SnapshotManifest;
  /** The chain, base first, `manifest` last. */
  readonly chain: readonly SnapshotManifest[];
  readonly layers: readonly { path: string; digest: Digest }[];
  readonly statePath: string;
  readonly appDisk?: { path: string; digest: Digest };
  readonly workingSetPath?: string;
}

/**
 * Snapshots on disk, as an OCI image layout. Blobs are verified when they are published and trusted when a microVM is
 * started from them, apart from their length. Whatever moment a process dies at, the store opens again and holds every
 * snapshot whose `publish` resolved.
 */
export class Store {
  readonly blobs: BlobStore;
  readonly #lock = new SharedLock();
  readonly #paths: LayoutPaths;
  readonly #onPublishStep: (step: PublishStep) => void;
  /** Manifests that were read and verified: a digest stands for one for ever. */
  readonly #manifests = new Map<Digest, SnapshotManifest>();
  #indexWrites: Promise<unknown> = Promise.resolve();

  private constructor(paths: LayoutPaths, onPublishStep: (step: PublishStep) => void) {
    this.#paths = paths;
    this.#onPublishStep = onPublishStep;
    this.blobs = new BlobStore(paths);
  }

  /**
   * Opens the store in a folder, which is made if absent. One process at a time may write to it.
   *
   * @param options.onPublishStep Called after each durable step of publishing.
   * @throws {SnapshotError} FIRN_STORE_FORMAT if the folder holds something else.
   */
  static async open(
    root: string,
    options: { onPublishStep?: (step: PublishStep) => void } = {},
  ): Promise<Store> {
    const paths = layoutPaths(root);
    await openLayout(paths);
    return new Store(paths, options.onPublishStep ?? (() => {}));
  }

  /** A path in the store's file system for a file that is going to be published. Removed at the next open if left behind. */
  temporaryPath(label: string): string {
    return temporaryName(this.#paths, label);
  }

  /** Runs a task that adds blobs: none of them is garbage before it ends. */
  adding<T>(task: () => Promise<T>): Promise<T> {
    return this.#lock.shared(task);
  }

  /**
   * Publishes a snapshot: hashes its files, makes them blobs, and at last adds it to the index.
   *
   * @throws {SnapshotError} FIRN_SNAPSHOT_MISSING if its parent is not in the store.
   */
  publish(
    snapshot: NewSnapshot,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<SnapshotManifest> {
    return this.adding(() => this.#publish(snapshot, options));
  }

  async #publish(
    snapshot: NewSnapshot,
    options: { signal?: AbortSignal | undefined },
  ): Promise<SnapshotManifest> {
    try {
      if (snapshot.config.parent !== null) await this.read(snapshot.config.parent as Digest);
      this.#onPublishStep("start");
      const memory = await this.blobs.adopt(snapshot.memoryPath, MEDIA_TYPE.memory, options);
      this.#onPublishStep("memory");
      const state = await this.blobs.adopt(snapshot.statePath, MEDIA_TYPE.state, options);
      this.#onPublishStep("state");
      const config = await this.blobs.add(encodeConfig(snapshot.config), MEDIA_TYPE.config);
      this.#onPublishStep("config");
      const bytes = encodeManifest({ config, memory, state, app: snapshot.app });
      const manifest = await this.blobs.add(bytes, MEDIA_TYPE.manifest);
      this.#onPublishStep("manifest");
      await this.#updateIndex((digests) => digests.set(manifest.digest, manifest.size));
      this.#onPublishStep("index");
      return await this.read(manifest.digest);
    } finally {
      await rm(snapshot.memoryPath, { force: true });
      await rm(snapshot.statePath, { force: true });
    }
  }

  /**
   * Publishes a snapshot again together with its working set, in place of what it was: its name changes with its manifest.
   *
   * @param path The working set as the VMM wrote it, a file of {@link Store.temporaryPath}.
   */
  addWorkingSet(
    snapshot: SnapshotManifest,
    path: string,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<SnapshotManifest> {
    return this.adding(async () => {
      const workingSet = await this.blobs.adopt(path, MEDIA_TYPE.workingSet, options);
      const config = await this.blobs.add(encodeConfig(snapshot.config), MEDIA_TYPE.config);
      const { memory, state, app } = snapshot;
      const bytes = encodeManifest({ config, memory, state, app, workingSet });
      const manifest = await this.blobs.add(bytes, MEDIA_TYPE.manifest);
      await this.#updateIndex((digests) => {
        digests.set(manifest.digest, manifest.size);
        digests.delete(snapshot.digest);
      });
      this.#manifests.delete(snapshot.digest);
      return this.read(manifest.digest);
    });
  }

  /**
   * Reads a snapshot's manifest and config, and verifies both, once a process.
   *
   * @throws {SnapshotError} FIRN_SNAPSHOT_MISSING, FIRN_SNAPSHOT_CORRUPT or FIRN_SNAPSHOT_INCOMPATIBLE.
   */
  async read(digest: Digest): Promise<SnapshotManifest> {
    const known = this.#manifests.get(digest);
    if (known !== undefined) return known;
    const bytes = await this.blobs.read(digest, MEDIA_TYPE.manifest);
    const manifest = await decodeManifest(bytes, (config) =>
      this.blobs.read(config.digest, MEDIA_TYPE.config),
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
    const needed = [...chain.map((one) => one.memory), manifest.state];
    if (manifest.app !== undefined) needed.push(manifest.app);
    if (manifest.workingSet !== undefined) needed.push(manifest.workingSet);
    await Promise.all(needed.map((blob) => this.blobs.check(blob)));
    const layers = chain.map(({ memory }) => ({
      path: this.blobs.pathOf(memory.digest),
      digest: memory.digest,
    }));
    const statePath = this.blobs.pathOf(manifest.state.digest);
    const { app, workingSet } = manifest;
    return {
      manifest,
      chain,
      layers,
      statePath,
      ...(app === undefined ? {} : { appDisk: { path: this.blobs.pathOf(app.digest), digest: app.digest } }),
      ...(workingSet === undefined ? {} : { workingSetPath: this.blobs.pathOf(workingSet.digest) }),
    };
  }

  /**
   * Reads every byte of a snapshot and of all under it and compares them with their digests.
   *
   * @throws {SnapshotError} FIRN_SNAPSHOT_MISSING or FIRN_SNAPSHOT_CORRUPT, naming the first blob that is wrong.
   */
  async verify(digest: Digest, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { chain } = await this.locate(digest);
    for (const manifest of chain) {
      for (const blob of manifest.blobs) await this.blobs.verify(blob, options);
    }
  }

  /** Whether {@link verify} fails. */
  isDamaged(digest: Digest): Promise<boolean> {
    return this.verify(digest).then(
      () => false,
      () => true,
    );
  }

  /** All published snapshots that can be read. One that cannot is left out: {@link verify} tells why. */
  async list(): Promise<SnapshotManifest[]> {
    const entries = await readIndex(this.#paths);
    const manifests = await Promise.all(
      entries.map(({ digest }) => this.read(digest).catch(() => undefined)),
    );
    return manifests.filter((manifest) => manifest !== undefined);
  }

  /** Bytes of all blobs, each counted once. */
  async sizeBytes(): Promise<number> {
    return (await this.blobs.list()).reduce((sum, blob) => sum + blob.size, 0);
  }

  /** Bytes that a start from this snapshot needs in the store: memory and state of the chain, manifests and configs, not the app. */
  async chainBytes(digest: Digest): Promise<number> {
    const { chain } = await this.locate(digest);
    const sizes = new Map<string, number>();
    for (const manifest of chain) {
      for (const blob of manifest.blobs) {
        if (blob.mediaType !== MEDIA_TYPE.app) sizes.set(blob.digest, blob.size);
      }
    }
    return [...sizes.values()].reduce((sum, size) => sum + size, 0);
  }

  /** Takes a snapshot out of the index. Its blobs stay until {@link collectGarbage}. */
  async remove(digest: Digest): Promise<void> {
    this.#manifests.delete(digest);
    await this.#updateIndex((digests) => digests.delete(digest));
  }

  /**
   * Removes every blob that no snapshot in the index, nor one underneath, needs. Waits until nothing is being added.
   *
   * @param keep Tells the blobs to keep besides, such as app images that are still to be snapshotted.
   * @returns Bytes that were freed.
   */
  collectGarbage(keep: () => Iterable<Digest> = () => []): Promise<number> {
    return this.#lock.alone(() => this.#collectGarbage(new Set<string>(keep())));
  }

  async #collectGarbage(needed: Set<string>): Promise<number> {
    for (const { digest } of await readIndex(this.#paths)) {
      for (let next: Digest | null = digest; next !== null && !needed.has(next); ) {
        needed.add(next);
        const manifest: SnapshotManifest | undefined = await this.read(next).catch(() => undefined);
        for (const blob of manifest?.blobs ?? []) needed.add(blob.digest);
        next = manifest?.config.parent ?? null;
      }
    }
    let freed = 0;
    for (const blob of await this.blobs.list()) {
      if (needed.has(blob.digest)) continue;
      await this.blobs.remove(blob.digest);
      freed += blob.size;
    }
    return freed;
  }

  #updateIndex(change: (digests: Map<Digest, number>) => void): Promise<void> {
    const update = this.#indexWrites.then(async () => {
      const entries = await readIndex(this.#paths);
      const digests = new Map(entries.map(({ digest, size }) => [digest, size]));
      change(digests);
      const manifests = [...digests].map(([digest, size]) => ({
        mediaType: MEDIA_TYPE.manifest,
        digest,
        size,
      }));
      await writeIndex(this.#paths, manifests);
    });
    this.#indexWrites = update.catch(() => {});
    return update;
  }
}
