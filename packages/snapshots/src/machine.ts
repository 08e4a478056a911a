import { BasePool } from "./bases/base-pool.ts";
import { BaseProvider, type MachineOptions } from "./bases/base-provider.ts";
import { type FileDigests, MemoryFileDigests } from "./bases/file-digests.ts";
import { JailChoice } from "./bases/jail-choice.ts";
import { DEFAULT_DEADLINES, type Deadlines } from "./deadlines.ts";
import { SnapshotError } from "./errors.ts";
import { createDiff, type DiffOptions } from "./instances/create-diff.ts";
import type { Instance } from "./instances/instance.ts";
import { type StartOptions, startInstance } from "./instances/start-instance.ts";
import { type Digest, isDigest } from "./store/digest.ts";
import type { SnapshotManifest } from "./store/manifest.ts";
import { MEDIA_TYPE } from "./store/media-types.ts";
import { Store, type StoreOptions } from "./store/store.ts";

/** What {@link Machine.open} takes. */
export interface OpenMachineOptions extends Omit<MachineOptions, "vcpus" | "deadlines"> {
  /** Processors of each microVM; 1 by default. */
  readonly vcpus?: number | undefined;
  readonly deadlines?: Deadlines | undefined;
  /** Where digests of kernels and root disks are remembered; by default as long as the program runs. */
  readonly digests?: FileDigests | undefined;
  readonly store?: StoreOptions | undefined;
}

/** What {@link Machine.createDiff} takes. */
export interface MachineDiffOptions
  extends Pick<DiffOptions, "load" | "tag" | "onLog" | "onWarning" | "signal"> {
  /** Guest memory in bytes, a multiple of 2 MiB. */
  readonly memoryBytes: number;
  /** A file system image of the code, erofs, which the guest gets as its app disk. */
  readonly appPath: string;
}

/** What {@link Machine.start} takes. */
export interface MachineStartOptions
  extends Pick<StartOptions, "onLog" | "environment" | "concurrency" | "signal"> {
  /** Whether it can be snapshotted and forked; yes by default. */
  readonly snapshottable?: boolean | undefined;
}

/** One machine with its store: builds bases, takes diffs of them, and starts instances of what the store holds. */
export class Machine implements AsyncDisposable {
  readonly store: Store;
  readonly bases: BaseProvider;
  readonly #pool: BasePool;
  readonly #jail: JailChoice;
  readonly #deadlines: Deadlines;
  readonly #closing: AbortController;

  private constructor(parts: {
    store: Store;
    bases: BaseProvider;
    pool: BasePool;
    jail: JailChoice;
    deadlines: Deadlines;
    closing: AbortController;
  }) {
    this.store = parts.store;
    this.bases = parts.bases;
    this.#pool = parts.pool;
    this.#jail = parts.jail;
    this.#deadlines = parts.deadlines;
    this.#closing = parts.closing;
  }

  /**
   * Opens a store, which is made if absent, and what snapshots are made with.
   *
   * @throws {SnapshotError} FIRN_STORE_FORMAT, FIRN_STORE_IN_USE.
   */
  static async open(folder: string, options: OpenMachineOptions): Promise<Machine> {
    const { vcpus = 1, deadlines = DEFAULT_DEADLINES, digests = new MemoryFileDigests() } = options;
    const store = await Store.open(folder, options.store);
    const closing = new AbortController();
    const jail = new JailChoice(options.jail);
    const pool = new BasePool(store, options.pool ?? { size: 0 }, jail, () => {});
    const machine = { ...options, vcpus, deadlines };
    const bases = new BaseProvider({ store, digests, machine, jail, pool, signal: closing.signal });
    return new Machine({ store, bases, pool, jail, deadlines, closing });
  }

  /** The base of a runtime: a microVM in which it waits for code. Booted when it is first wanted. See {@link BaseProvider.base}. */
  base(runtime: string, memoryBytes: number): Promise<SnapshotManifest> {
    return this.bases.base(runtime, memoryBytes);
  }

  /**
   * Loads code into a runtime, and publishes the snapshot of the moment at which it is warm. Without a tag, the next garbage collection
   * removes it.
   *
   * @throws {FunctionFailedError} if the code fails while it gets ready.
   * @throws {SnapshotError} FIRN_RUNTIME_UNKNOWN, FIRN_FILE_MISSING, FIRN_TIMEOUT and others.
   */
  createDiff(runtime: string, options: MachineDiffOptions): Promise<SnapshotManifest> {
    const { memoryBytes, appPath, ...diff } = options;
    return this.store.adding(async () => {
      const app = await this.store.blobs.import(appPath, MEDIA_TYPE.app, { signal: diff.signal });
      const base = await this.base(runtime, memoryBytes);
      const { rootDiskPath } = this.bases.runtime(runtime);
      const [jail, deadlines] = [await this.#jail.options(), this.#deadlines];
      return createDiff(this.store, { ...diff, base: base.digest, app, rootDiskPath, jail, deadlines });
    });
  }

  /**
   * Starts an instance of a snapshot.
   *
   * @param snapshot Its digest, or a tag.
   * @throws {SnapshotError} FIRN_SNAPSHOT_MISSING, FIRN_SNAPSHOT_CORRUPT, FIRN_SNAPSHOT_INCOMPATIBLE if it was made with another kernel,
   *   root disk, agent or host, FIRN_TIMEOUT and others.
   */
  async start(snapshot: Digest | string, options: MachineStartOptions = {}): Promise<Instance> {
    const digest = isDigest(snapshot) ? snapshot : this.store.tagged(snapshot);
    if (digest === undefined) {
      throw new SnapshotError(
        "FIRN_SNAPSHOT_MISSING",
        `No snapshot has the tag ${JSON.stringify(snapshot)}.`,
      );
    }
    const located = await this.store.locate(digest);
    const { rootDiskPath } = await this.bases.runtimeOf(located.manifest);
    const { snapshottable = true, ...start } = options;
    const { instance } = await startInstance(
      { mode: "diff", snapshot: located },
      {
        ...start,
        store: this.store,
        rootDiskPath,
        snapshottable,
        pool: await this.#pool.for(located),
        jail: await this.#jail.options(),
        deadlines: this.#deadlines,
      },
    );
    return instance;
  }

  /** Stops what is being made, and lets another process open the store. Instances are their owner's to close. */
  async close(): Promise<void> {
    this.#closing.abort(new SnapshotError("FIRN_ABORTED", "The machine was closed."));
    await this.bases.settle();
    await this.#pool.microvms.close();
    this.store.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
