import { stat } from "node:fs/promises";
import type { JailOptions } from "@firn/vmm";
import type { Deadlines } from "../deadlines.ts";
import { SnapshotError } from "../errors.ts";
import type { GuestLogLine } from "../instances/agent-connection.ts";
import { type Digest, digestOfFile } from "../store/digest.ts";
import type { SnapshotManifest } from "../store/manifest.ts";
import type { Store } from "../store/store.ts";
import type { BasePool, PoolSettings } from "./base-pool.ts";
import { createBase, type DigestedFile } from "./create-base.ts";
import type { FileDigests } from "./file-digests.ts";
import type { JailChoice } from "./jail-choice.ts";

/** The machine that all functions run on. */
export interface MachineOptions {
  /** Uncompressed arm64 kernel Image. */
  readonly kernelPath: string;
  /** Read-only root file system with agent and runtime. */
  readonly rootDiskPath: string;
  readonly vcpus: number;
  readonly deadlines: Deadlines;
  readonly onLog?: (line: GuestLogLine) => void;
  /** Processes that wait for cold starts; by default two a base. */
  readonly pool?: PoolSettings;
  /** The jail of every VMM process; by default the best that this host can give, found out once. */
  readonly jail?: JailOptions | undefined;
}

/** How long a base stays after it was last wanted, though nothing is on top of it, in milliseconds. */
const KEEP_MS = 10 * 60_000;

function leaseName(digest: Digest): string {
  return `base-${digest.slice("sha256:".length)}`;
}

/** Finds the base snapshot for a memory size, and makes it when it is first wanted. */
export class BaseProvider {
  readonly #store: Store;
  readonly #digests: FileDigests;
  readonly #machine: MachineOptions;
  readonly #jail: JailChoice;
  readonly #signal: AbortSignal;
  readonly #pool: BasePool;
  readonly #wanted = new Map<number, Promise<SnapshotManifest>>();

  /**
   * @param parts.pool Has processes for the bases that are in use, and no others.
   * @param parts.signal Aborts when the program ends: what is being made is shared by all who wait for it.
   */
  constructor(parts: {
    store: Store;
    digests: FileDigests;
    machine: MachineOptions;
    jail: JailChoice;
    pool: BasePool;
    signal: AbortSignal;
  }) {
    const { store, digests, machine, jail, pool, signal } = parts;
    this.#pool = pool;
    this.#store = store;
    this.#digests = digests;
    this.#machine = machine;
    this.#jail = jail;
    this.#signal = signal;
  }

  /**
   * The base with this much memory, of the kernel and root disk as they are now.
   *
   * @throws {SnapshotError} FIRN_FILE_MISSING, and what {@link createBase} throws.
   */
  async base(memoryBytes: number): Promise<SnapshotManifest> {
    for (;;) {
      const base = await this.#base(memoryBytes);
      this.#store.claim(base.digest);
      await this.#keepAWhile(base);
      if (this.#store.has(base.digest)) return base;
      // Garbage was collected in between.
      await this.forget([base.digest]);
    }
  }

  /** The same, and keeps it until the program ends: for bases that are to be there before they are wanted. */
  async keep(memoryBytes: number): Promise<SnapshotManifest> {
    const base = await this.base(memoryBytes);
    await this.#store.lease([base.digest]);
    return base;
  }

  /** Keeps no base any longer for its own sake: the next garbage collection removes those on which there is nothing. */
  async release(): Promise<void> {
    for (const base of await this.#store.list()) {
      if (base.config.kind !== "diff") await this.#store.endLease(leaseName(base.digest));
    }
  }

  /** Ends the processes that wait for diffs of bases which are not in the store any more. */
  async forget(removed: readonly Digest[]): Promise<void> {
    for (const [memoryBytes, wanted] of [...this.#wanted]) {
      const base = await wanted.catch(() => undefined);
      if (base === undefined || !removed.includes(base.digest)) continue;
      if (this.#wanted.get(memoryBytes) === wanted) this.#wanted.delete(memoryBytes);
      await this.#pool.remove(base);
    }
  }

  /** A base with nothing on top of it is there for the next who wants one, for a while. */
  async #keepAWhile({ digest }: SnapshotManifest): Promise<void> {
    const expires = new Date(Date.now() + KEEP_MS);
    await this.#store.lease([digest], { name: leaseName(digest), expires });
  }

  async #base(memoryBytes: number): Promise<SnapshotManifest> {
    const known = await this.#wanted.get(memoryBytes);
    if (known !== undefined && this.#store.has(known.digest) && (await this.isCurrent(known))) return known;
    if (known !== undefined) {
      this.#wanted.delete(memoryBytes);
      await this.#pool.remove(known);
    }
    // Whoever waited beside this call may have been first.
    const begun = this.#wanted.get(memoryBytes);
    if (begun !== undefined) return begun;
    const made = this.#findOrMake(memoryBytes);
    this.#wanted.set(memoryBytes, made);
    made.then(
      (base) => this.#pool.add(base),
      () => {
        if (this.#wanted.get(memoryBytes) === made) this.#wanted.delete(memoryBytes);
      },
    );
    return made;
  }

  /** Whether a snapshot was made with the kernel and root disk as they are now. @throws {SnapshotError} FIRN_FILE_MISSING. */
  async isCurrent(manifest: SnapshotManifest): Promise<boolean> {
    const { kernel, rootDisk } = await this.files();
    return manifest.config.kernel === kernel.digest && manifest.config.rootDisk === rootDisk.digest;
  }

  /** Takes a base out of use, so that the next who wants one makes it. */
  async discard(base: SnapshotManifest): Promise<void> {
    this.#wanted.delete(base.config.memoryBytes);
    await this.#pool.remove(base);
    await this.#store.endLease(leaseName(base.digest));
    await this.#store.remove(base.digest);
  }

  /**
   * Checks that a snapshot was made with the kernel and root disk as they are now.
   *
   * @throws {SnapshotError} FIRN_SNAPSHOT_INCOMPATIBLE or FIRN_FILE_MISSING.
   */
  async requireCurrent(manifest: SnapshotManifest): Promise<void> {
    if (!(await this.isCurrent(manifest))) {
      throw new SnapshotError(
        "FIRN_SNAPSHOT_INCOMPATIBLE",
        `Snapshot ${manifest.digest} was made with another kernel or root disk. Make it again.`,
      );
    }
  }

  /** Kernel and root disk with their digests. */
  async files(): Promise<{ kernel: DigestedFile; rootDisk: DigestedFile }> {
    const [kernel, rootDisk] = await Promise.all([
      this.#digested(this.#machine.kernelPath, "kernel"),
      this.#digested(this.#machine.rootDiskPath, "root disk"),
    ]);
    return { kernel, rootDisk };
  }

  /** Waits for what is being made, which the signal has told to stop. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#wanted.values());
  }

  async #findOrMake(memoryBytes: number): Promise<SnapshotManifest> {
    const { kernel, rootDisk } = await this.files();
    const { vcpus, deadlines, onLog } = this.#machine;
    for (const manifest of await this.#store.list()) {
      const { config } = manifest;
      if (config.kind !== "base" || config.memoryBytes !== memoryBytes || config.vcpus !== vcpus) continue;
      if (config.kernel !== kernel.digest || config.rootDisk !== rootDisk.digest) continue;
      if (await this.#isUsable(manifest)) return manifest;
      await this.#store.remove(manifest.digest);
    }
    const log = onLog === undefined ? {} : { onLog };
    return createBase(this.#store, {
      ...log,
      kernel,
      rootDisk,
      memoryBytes,
      vcpus,
      jail: await this.#jail.options(),
      deadlines,
      signal: this.#signal,
    });
  }

  /** @throws Whatever says nothing about the snapshot, such as a lack of descriptors. */
  async #isUsable({ digest }: SnapshotManifest): Promise<boolean> {
    try {
      await this.#store.locate(digest);
      return true;
    } catch (error) {
      if (error instanceof SnapshotError) return false;
      throw error;
    }
  }

  async #digested(path: string, what: string): Promise<DigestedFile> {
    const found = await stat(path, { bigint: true }).catch(() => undefined);
    if (!found?.isFile()) {
      throw new SnapshotError(
        "FIRN_FILE_MISSING",
        `The ${what} ${path} is not there. Build it, or set its path.`,
      );
    }
    const identity = { path, size: Number(found.size), modified: found.mtimeNs, inode: found.ino };
    const known = this.#digests.knownDigest(identity);
    if (known !== undefined) return { path, digest: known };
    const { digest } = await digestOfFile(path);
    this.#digests.rememberDigest(identity, digest);
    return { path, digest };
  }
}
