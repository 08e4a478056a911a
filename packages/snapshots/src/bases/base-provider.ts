import { isDeepStrictEqual } from "node:util";
import type { JailOptions } from "@firn/vmm";
import type { Deadlines } from "../deadlines.ts";
import { SnapshotError } from "../errors.ts";
import type { GuestLogLine } from "../instances/agent-connection.ts";
import { ScratchTemplates } from "../instances/scratch-templates.ts";
import type { Digest } from "../store/digest.ts";
import type { SnapshotConfig, SnapshotManifest } from "../store/manifest.ts";
import type { Store } from "../store/store.ts";
import type { BasePool, PoolSettings } from "./base-pool.ts";
import { incompatibility } from "./compatible.ts";
import { createBase } from "./create-base.ts";
import { deviceSet } from "./device-set.ts";
import { type DigestedFile, digestedFile, type FileDigests } from "./file-digests.ts";
import type { JailChoice } from "./jail-choice.ts";
import type { Runtime } from "./runtime.ts";

/** The machine that all microVMs run on. */
export interface MachineOptions {
  /** Uncompressed arm64 kernel Image. */
  readonly kernelPath: string;
  /** What microVMs can be booted with, as {@link readRuntimes} finds it. */
  readonly runtimes: readonly Runtime[];
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

/** What a base is made from, beside its memory: a base of other inputs is another one. */
interface BaseInputs {
  readonly kernel: DigestedFile;
  readonly rootDisk: DigestedFile;
  readonly devices: readonly string[];
}

/** Finds the base snapshot of a runtime and a memory size, and makes it when it is first wanted. */
export class BaseProvider {
  readonly #store: Store;
  readonly #digests: FileDigests;
  readonly #machine: MachineOptions;
  readonly #jail: JailChoice;
  readonly #signal: AbortSignal;
  readonly #pool: BasePool;
  readonly #templates: ScratchTemplates;
  /** By runtime and memory. */
  readonly #wanted = new Map<string, Promise<SnapshotManifest>>();

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
    this.#templates = new ScratchTemplates(store);
  }

  /** A runtime by its name. @throws {SnapshotError} FIRN_RUNTIME_UNKNOWN. */
  runtime(name: string): Runtime {
    const found = this.#machine.runtimes.find((runtime) => runtime.name === name);
    if (found !== undefined) return found;
    const names = this.#machine.runtimes.map((runtime) => runtime.name).join(", ") || "none";
    throw new SnapshotError(
      "FIRN_RUNTIME_UNKNOWN",
      `There is no runtime ${JSON.stringify(name)}. Available: ${names}.`,
    );
  }

  /**
   * The base of a runtime with this much memory, of the kernel and root disk as they are now. It stays for ten minutes though nothing is
   * on top of it.
   *
   * @throws {SnapshotError} FIRN_RUNTIME_UNKNOWN, FIRN_FILE_MISSING, and what {@link createBase} throws.
   */
  async base(runtime: string, memoryBytes: number): Promise<SnapshotManifest> {
    for (;;) {
      const base = await this.#base(runtime, memoryBytes);
      this.#store.claim(base.digest);
      const expires = new Date(Date.now() + KEEP_MS);
      await this.#store.lease([base.digest], { name: leaseName(base.digest), expires });
      if (this.#store.has(base.digest)) return base;
      // Garbage was collected in between.
      await this.forget([base.digest]);
    }
  }

  /** The same, and keeps it until the program ends: for bases that are to be there before they are wanted. */
  async keep(runtime: string, memoryBytes: number): Promise<SnapshotManifest> {
    const base = await this.base(runtime, memoryBytes);
    await this.#store.lease([base.digest]);
    return base;
  }

  /** Keeps no base any longer for its own sake: the next garbage collection removes those on which there is nothing. */
  async release(): Promise<void> {
    for (const { digest, config } of await this.#store.list()) {
      if (config.kind === "base") await this.#store.endLease(leaseName(digest));
    }
  }

  /** Ends the processes that wait for diffs of bases which are not in the store any more. */
  async forget(removed: readonly Digest[]): Promise<void> {
    for (const [key, wanted] of [...this.#wanted]) {
      const base = await wanted.catch(() => undefined);
      if (base === undefined || !removed.includes(base.digest)) continue;
      if (this.#wanted.get(key) === wanted) this.#wanted.delete(key);
      await this.#pool.remove(base);
    }
  }

  /**
   * Whether a snapshot was made with kernel, root disk and devices of a runtime as they are now, and is for this host and agent.
   *
   * @throws {SnapshotError} FIRN_RUNTIME_UNKNOWN or FIRN_FILE_MISSING.
   */
  async isCurrent({ config }: SnapshotManifest, runtime: string): Promise<boolean> {
    return isOf(config, await this.#inputs(runtime)) && (await incompatibility(config)) === undefined;
  }

  /**
   * Checks that a snapshot is current: see {@link isCurrent}.
   *
   * @throws {SnapshotError} FIRN_SNAPSHOT_INCOMPATIBLE, FIRN_RUNTIME_UNKNOWN or FIRN_FILE_MISSING.
   */
  async requireCurrent(manifest: SnapshotManifest, runtime: string): Promise<void> {
    const reason = isOf(manifest.config, await this.#inputs(runtime))
      ? await incompatibility(manifest.config)
      : "it was made with another kernel, root disk or set of devices";
    if (reason === undefined) return;
    const message = `Snapshot ${manifest.digest} cannot be used: ${reason}. Make it again.`;
    throw new SnapshotError("FIRN_SNAPSHOT_INCOMPATIBLE", message);
  }

  /** The runtime that a snapshot was made with, as it is now. @throws {SnapshotError} FIRN_SNAPSHOT_INCOMPATIBLE if there is none. */
  async runtimeOf(manifest: SnapshotManifest): Promise<Runtime> {
    for (const runtime of this.#machine.runtimes) {
      if (isOf(manifest.config, await this.#inputs(runtime.name))) return runtime;
    }
    const message = `Snapshot ${manifest.digest} cannot be used: no runtime has its kernel, root disk and devices. Make it again.`;
    throw new SnapshotError("FIRN_SNAPSHOT_INCOMPATIBLE", message);
  }

  /** What a regular boot of a runtime needs, for `StartPlan`. @throws {SnapshotError} FIRN_RUNTIME_UNKNOWN or FIRN_FILE_MISSING. */
  async bootInputs(
    runtime: string,
  ): Promise<{ kernelPath: string; vcpus: number; devices: readonly string[]; scratchPath: string }> {
    const { kernel, devices } = await this.#inputs(runtime);
    const scratchPath = await this.#templates.packed(this.runtime(runtime).scratchPath);
    return { kernelPath: kernel.path, vcpus: this.#machine.vcpus, devices, scratchPath };
  }

  /** Takes a base out of use, so that the next who wants one makes it. */
  async discard(base: SnapshotManifest): Promise<void> {
    for (const [key, wanted] of [...this.#wanted]) {
      const known = await wanted.catch(() => undefined);
      if (known?.digest === base.digest && this.#wanted.get(key) === wanted) this.#wanted.delete(key);
    }
    await this.#pool.remove(base);
    await this.#store.endLease(leaseName(base.digest));
    await this.#store.remove(base.digest);
  }

  /** Waits for what is being made, which the signal has told to stop. Nothing can be made afterwards. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#wanted.values());
    this.#templates.close();
  }

  async #base(runtime: string, memoryBytes: number): Promise<SnapshotManifest> {
    const key = `${runtime} ${memoryBytes}`;
    const known = await this.#wanted.get(key);
    if (known !== undefined && this.#store.has(known.digest) && (await this.isCurrent(known, runtime))) {
      return known;
    }
    if (known !== undefined) {
      this.#wanted.delete(key);
      await this.#pool.remove(known);
    }
    // Whoever waited beside this call may have been first.
    const begun = this.#wanted.get(key);
    if (begun !== undefined) return begun;
    const made = this.#findOrMake(runtime, memoryBytes);
    this.#wanted.set(key, made);
    made.then(
      (base) => this.#pool.add(base),
      () => {
        if (this.#wanted.get(key) === made) this.#wanted.delete(key);
      },
    );
    return made;
  }

  async #findOrMake(runtime: string, memoryBytes: number): Promise<SnapshotManifest> {
    const inputs = await this.#inputs(runtime);
    const { vcpus, deadlines, onLog } = this.#machine;
    for (const manifest of await this.#store.list()) {
      const { config } = manifest;
      if (config.kind !== "base" || config.memoryBytes !== memoryBytes || config.vcpus !== vcpus) continue;
      if (!isOf(config, inputs) || (await incompatibility(config)) !== undefined) continue;
      if (await this.#isUsable(manifest)) return manifest;
      await this.#store.remove(manifest.digest);
    }
    const log = onLog === undefined ? {} : { onLog };
    return createBase(this.#store, {
      ...log,
      ...inputs,
      scratchPath: await this.#templates.packed(this.runtime(runtime).scratchPath),
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

  async #inputs(name: string): Promise<BaseInputs> {
    const { rootDiskPath, scratchPath } = this.runtime(name);
    const [kernel, rootDisk, devices] = await Promise.all([
      digestedFile(this.#machine.kernelPath, "kernel", this.#digests),
      digestedFile(rootDiskPath, "root disk", this.#digests),
      deviceSet(scratchPath),
    ]);
    return { kernel, rootDisk, devices };
  }
}

function isOf(config: SnapshotConfig, { kernel, rootDisk, devices }: BaseInputs): boolean {
  return (
    config.kernel === kernel.digest &&
    config.rootDisk === rootDisk.digest &&
    isDeepStrictEqual(config.devices, devices)
  );
}

function leaseName(digest: Digest): string {
  return `base-${digest.slice("sha256:".length)}`;
}
