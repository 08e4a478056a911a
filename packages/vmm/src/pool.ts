import { setTimeout as pause } from "node:timers/promises";
import { throwIfAborted } from "./deadline.ts";
import { FirnVmmError, toFirnVmmError } from "./errors.ts";
import { readAvailableMemory, readMemoryPressure } from "./memory-pressure.ts";
import type { Microvm } from "./microvm.ts";
import { nativeJail } from "./native-jail.ts";
import { PoolShelf } from "./pool-shelf.ts";
import type { PoolStatistics } from "./pool-statistics.ts";
import type { PoolBase, PreparedProcess } from "./prepared-process.ts";
import { type RestoreOptions, restoreMicrovm, restoreStart } from "./restore.ts";
import { becomeMicrovm, type Start } from "./start.ts";
import { requireWhole } from "./whole-number.ts";

/** How long until memory pressure is looked at again, in milliseconds. */
const PRESSURE_PAUSE_MS = 1000;
/** How long a refill waits for the microVM that took a process. */
const REFILL_PATIENCE_MS = 3000;
/** What a process is taken to need before one was measured, in bytes. */
const FIRST_GUESS_BYTES = 4 << 20;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** What {@link createMicrovmPool} takes. */
export interface PoolOptions {
  /** Bases to begin with; more can be added. */
  bases?: readonly PoolBase[] | undefined;
  /** Processes that wait for each base; 2 by default, 0 for none. */
  size?: number | undefined;
  /** Private memory that all waiting processes may have together, in bytes; 64 MiB by default. */
  memoryBudgetBytes?: number | undefined;
  /**
   * No process is prepared while more than this share of time, in percent, is lost to a lack of memory; 10 by default. Where the kernel
   * does not count that, none is while less memory is available than what is left of the budget.
   */
  maxMemoryPressure?: number | undefined;
  /** What says how much that is: `/proc/pressure/memory` by default, or the `memory.pressure` of a cgroup. */
  memoryPressurePath?: string | undefined;
  /** A process could not be prepared. It is tried again, at growing intervals. What this throws is ignored. */
  onFailure?: ((error: FirnVmmError, base: PoolBase) => void) | undefined;
}

/** Makes a {@link MicrovmPool}. It begins to prepare processes at once. */
export function createMicrovmPool(options: PoolOptions = {}): MicrovmPool {
  return new MicrovmPool(options);
}

/**
 * VMM processes that have done everything that can be done before it is known which snapshot is to be restored: a restore on top
 * of one of the pool's bases takes such a process, and another is prepared in its place, one at a time, while memory allows.
 * A restore that finds none ready, or none in the jail that it wants, works as `restoreMicrovm` does.
 *
 * A process is used once. One that ended while it waited is replaced and never handed out; if one ends before it has restored, a new
 * one does it. Waiting processes do not keep Node running, and end when it does.
 *
 * @example
 * ```ts
 * await using pool = createMicrovmPool({ bases: [{ layers: [base], statePath: "base.state" }] });
 * await using clone = await pool.restore({ layers: [base, diff], statePath: "diff.state", rootDiskPath, leaf: true });
 * console.log(clone.pooled, pool.statistics());
 * ```
 */
export class MicrovmPool implements AsyncDisposable {
  readonly #size: number;
  readonly #memoryBudgetBytes: number;
  readonly #maxMemoryPressure: number;
  readonly #memoryPressurePath: string;
  readonly #onFailure: (error: FirnVmmError, base: PoolBase) => void;
  /** By the digests of their layers, the root disk and the jail. */
  readonly #shelves = new Map<string, PoolShelf>();
  readonly #counts = { hits: 0, misses: 0, prepared: 0, failures: 0, died: 0, evicted: 0 };
  #heldBack: PoolStatistics["heldBack"] = null;
  #memoryMeasure: PoolStatistics["memoryMeasure"] = null;
  #lastFailure: FirnVmmError | null = null;
  #wanted = false;
  #filling: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;

  /** @internal */
  constructor(options: PoolOptions) {
    const { size = 2, memoryBudgetBytes = 64 << 20 } = options;
    requireWhole("size", size, 0);
    requireWhole("memoryBudgetBytes", memoryBudgetBytes, 0);
    this.#size = size;
    this.#memoryBudgetBytes = memoryBudgetBytes;
    this.#maxMemoryPressure = options.maxMemoryPressure ?? 10;
    this.#memoryPressurePath = options.memoryPressurePath ?? "/proc/pressure/memory";
    this.#onFailure = options.onFailure ?? (() => {});
    for (const base of options.bases ?? []) this.add(base);
  }

  /**
   * Keeps processes ready for restores on top of this base. If it does already, those that are prepared from now on are prepared with
   * these working sets, and if it had none, all are.
   *
   * @throws {FirnVmmError} FIRN_POOL_CLOSED, or FIRN_VMM_OPTIONS for a jail that does not exist.
   */
  add(base: PoolBase): void {
    this.#throwIfClosed();
    const key = keyOf(base);
    const known = this.#shelves.get(key);
    const isFirstSet =
      (known?.base.workingSetPaths ?? []).length === 0 && (base.workingSetPaths ?? []).length > 0;
    if (known?.base.statePath === base.statePath && !isFirstSet) {
      known.base = base;
      return;
    }
    void known?.drain();
    this.#shelves.set(key, new PoolShelf(base, () => this.#onDeath(key)));
    this.#refill();
  }

  /** Ends the processes that wait for this base, and prepares no more; resolves when they are gone. */
  async remove(base: Pick<PoolBase, "layers" | "jail">): Promise<void> {
    const key = keyOf(base);
    const shelf = this.#shelves.get(key);
    this.#shelves.delete(key);
    await shelf?.drain();
    this.#refill();
  }

  /**
   * Restores a snapshot: in a process that waits for one on top of its base, if there is one, else in a new one.
   *
   * @param pace.refillAfter The first answer of the microVM, say: no process is prepared in its place before this settles, or three seconds
   *   have passed, so that it does not take the microVM's time.
   * @returns the microVM, whose `pooled` tells which it was.
   * @throws {FirnVmmError} FIRN_POOL_CLOSED, and what `restoreMicrovm` throws.
   */
  async restore(
    options: RestoreOptions,
    pace: { refillAfter?: Promise<unknown> | undefined } = {},
  ): Promise<Microvm> {
    this.#throwIfClosed();
    throwIfAborted("The restore", options.signal);
    const shelf = this.#shelfFor(options);
    const start = restoreStart(options, shelf?.base);
    const prepared = shelf?.take();
    try {
      const microvm = prepared && (await this.#restoreIn(prepared, start));
      if (microvm === undefined) {
        this.#counts.misses += 1;
        return await restoreMicrovm(options);
      }
      if (shelf !== undefined) shelf.failures = 0;
      return microvm;
    } finally {
      // Not before: the start that somebody waits for comes first.
      if (pace.refillAfter === undefined) this.#refill();
      else void this.#refillAfter(pace.refillAfter);
    }
  }

  /** `undefined` if the process has ended before it had restored. */
  async #restoreIn(prepared: PreparedProcess, start: Start): Promise<Microvm | undefined> {
    try {
      const microvm = await becomeMicrovm(prepared, start, { pooled: true });
      this.#counts.hits += 1;
      return microvm;
    } catch (thrown) {
      // One that the kernel has begun to end looks alive until its memory is gone, and that it was waiting is no reason for whoever
      // wants a microVM to have none.
      if ((thrown as FirnVmmError).code === "FIRN_VMM_CRASHED") {
        this.#counts.died += 1;
        return undefined;
      }
      this.#counts.hits += 1;
      throw thrown;
    }
  }

  /** Resolves when every base has its processes, or {@link PoolStatistics.heldBack} says why not. */
  async filled(): Promise<void> {
    while (this.#filling !== undefined) await this.#filling;
  }

  /** What waits, and what has happened so far. */
  statistics(): PoolStatistics {
    const shelves = [...this.#shelves.values()];
    return {
      ...this.#counts,
      waiting: shelves.reduce((sum, shelf) => sum + shelf.waiting, 0),
      wanted: shelves.length * this.#size,
      privateBytes: this.#privateBytes(),
      heldBack: this.#heldBack,
      memoryMeasure: this.#memoryMeasure,
      lastFailure: this.#lastFailure,
      bases: shelves.map(({ base, waiting, privateBytes, failures }) => ({
        layers: base.layers.map(({ digest }) => digest),
        waiting,
        privateBytes,
        failures,
      })),
    };
  }

  /** Ends all waiting processes; resolves when they are gone. MicroVMs that were restored go on. May be called more than once. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** The same as {@link MicrovmPool.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    clearTimeout(this.#timer);
    const shelves = [...this.#shelves.values()];
    this.#shelves.clear();
    await Promise.all(shelves.map((shelf) => shelf.drain()));
    await this.filled();
  }

  /** The shelf with the most of the layers that are wanted, in the jail that is. */
  #shelfFor(options: RestoreOptions): PoolShelf | undefined {
    const { layers, jail, recordReads } = options;
    // What a waiting process has in memory is not what a clone has used.
    if (recordReads === true) return undefined;
    for (let count = layers.length; count > 0; count -= 1) {
      const shelf = this.#shelves.get(keyOf({ layers: layers.slice(0, count), jail }));
      if (shelf !== undefined) return shelf;
    }
    return undefined;
  }

  #privateBytes(): number {
    return [...this.#shelves.values()].reduce((sum, shelf) => sum + shelf.privateBytes, 0);
  }

  #onDeath(key: string): void {
    this.#counts.died += 1;
    this.#shelves.get(key)?.rest();
    this.#refill();
  }

  /** Prepares what is missing, in the background, one process at a time. */
  #refill(): void {
    this.#wanted = true;
    if (this.#closed !== undefined || this.#filling !== undefined) return;
    this.#filling = this.#fill();
  }

  async #refillAfter(settled: Promise<unknown>): Promise<void> {
    const patience = pause(REFILL_PATIENCE_MS, undefined, { ref: false });
    await Promise.race([settled.catch(() => {}), patience]);
    this.#refill();
  }

  async #fill(): Promise<void> {
    try {
      while (this.#wanted && this.#closed === undefined) {
        this.#wanted = false;
        for (let shelf = await this.#next(); shelf !== undefined; shelf = await this.#next()) {
          await this.#prepare(shelf);
        }
      }
    } finally {
      // At the same moment as the last look at what is wanted: nobody may ask in between and not be heard.
      this.#filling = undefined;
    }
  }

  async #prepare(shelf: PoolShelf): Promise<void> {
    try {
      await shelf.add();
      this.#counts.prepared += 1;
      if (this.#privateBytes() > this.#memoryBudgetBytes) await this.#evict(shelf);
    } catch (thrown) {
      if (shelf.drained) return;
      const error = toFirnVmmError(thrown);
      this.#counts.failures += 1;
      this.#lastFailure = error;
      shelf.rest();
      try {
        this.#onFailure(error, shelf.base);
      } catch {
        // Nobody waits for the pool to whom it could be told.
      }
    }
  }

  /** The shelf to prepare a process for now, if there is one and nothing speaks against it. */
  async #next(): Promise<PoolShelf | undefined> {
    clearTimeout(this.#timer);
    this.#heldBack = null;
    const lacking = [...this.#shelves.values()].filter((shelf) => shelf.waiting < this.#size);
    if (this.#closed !== undefined || lacking.length === 0) return undefined;
    const now = performance.now();
    const rested = lacking.filter((shelf) => shelf.restUntil <= now);
    const resting = lacking.filter((shelf) => shelf.restUntil > now);
    const nextRestedMs = Math.min(...resting.map((shelf) => shelf.restUntil)) - now;
    if (rested.length === 0) return this.#holdBack("failures", nextRestedMs);
    if (this.#hostLacksMemory()) return this.#holdBack("pressure", PRESSURE_PAUSE_MS);
    // Who has least comes first, then who was wanted last.
    rested.sort((a, b) => a.waiting - b.waiting || b.lastWanted - a.lastWanted);
    for (const shelf of rested) {
      if (!shelf.drained && (await this.#makeRoom(shelf))) return shelf;
    }
    return this.#holdBack("budget", nextRestedMs);
  }

  #hostLacksMemory(): boolean {
    const pressure = readMemoryPressure(this.#memoryPressurePath);
    this.#memoryMeasure = pressure === undefined ? "available" : "pressure";
    if (pressure !== undefined) return pressure > this.#maxMemoryPressure;
    const available = readAvailableMemory() ?? Number.POSITIVE_INFINITY;
    return available < this.#memoryBudgetBytes - this.#privateBytes();
  }

  /** Whether the budget has room for one more process of this shelf, if need be in place of one that was wanted less lately. */
  async #makeRoom(shelf: PoolShelf): Promise<boolean> {
    const needed = shelf.lastPrivateBytes ?? this.#typicalBytes();
    if (needed > this.#memoryBudgetBytes) return false;
    while (this.#privateBytes() + needed > this.#memoryBudgetBytes) {
      const older = [...this.#shelves.values()].filter(
        (other) => other.waiting > shelf.waiting && other.lastWanted < shelf.lastWanted,
      );
      const [oldest] = older.sort((a, b) => a.lastWanted - b.lastWanted);
      if (oldest === undefined) return false;
      await this.#evict(oldest);
    }
    return true;
  }

  async #evict(shelf: PoolShelf): Promise<void> {
    this.#counts.evicted += 1;
    await shelf.discardOne().catch(() => {});
  }

  /** What the process of a base is taken to need that none was prepared for: what others do, and little enough to find out. */
  #typicalBytes(): number {
    const measured = [...this.#shelves.values()].map((shelf) => shelf.lastPrivateBytes ?? 0);
    return Math.min(Math.max(0, ...measured) || FIRST_GUESS_BYTES, this.#memoryBudgetBytes);
  }

  /** @param retryAfterMs Infinite if only what somebody does can help. */
  #holdBack(reason: NonNullable<PoolStatistics["heldBack"]>, retryAfterMs: number): undefined {
    this.#heldBack = reason;
    if (retryAfterMs === Number.POSITIVE_INFINITY || this.#closed !== undefined) return;
    // Rounded up: a timer that fires early would find nothing to do.
    const delay = Math.min(Math.ceil(retryAfterMs) + 1, LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => this.#refill(), delay).unref();
  }

  #throwIfClosed(): void {
    if (this.#closed !== undefined) throw new FirnVmmError("FIRN_POOL_CLOSED", "The pool is closed.");
  }
}

function keyOf({ layers, jail }: Pick<PoolBase, "layers" | "jail">): string {
  return JSON.stringify([layers.map(({ digest }) => digest), nativeJail(jail)]);
}
