import type { Instance } from "@firn/snapshots";
import { type FunctionRecord, isSameVersion } from "../catalog/function-record.ts";
import { FunctionsError } from "../errors.ts";

/** An instance and what belongs to it while it lives. */
export interface PooledInstance {
  readonly instance: Instance;
  readonly record: FunctionRecord;
}

/** Room for one instance that is going to be started; must be given back by {@link InstancePool.leave}. */
export interface Slot {
  readonly name: string;
}

/**
 * The instances of all functions: those that serve, and those that wait for a request. When there is no room, the one that has
 * waited longest makes it.
 */
export class InstancePool {
  readonly #maxInstances: number;
  readonly #idleMs: number;
  /** Waiting instances, the one that has waited longest first. */
  readonly #idle = new Map<PooledInstance, NodeJS.Timeout>();
  readonly #watched = new WeakSet<PooledInstance>();
  readonly #slots = new Set<Slot>();
  readonly #closing = new Set<Promise<void>>();
  #closed = false;

  /**
   * @param options.maxInstances Instances at a time, waiting ones included.
   * @param options.idleMs How long one waits before it is closed.
   */
  constructor(options: { maxInstances: number; idleMs: number }) {
    this.#maxInstances = options.maxInstances;
    this.#idleMs = options.idleMs;
  }

  /** How many instances serve or start, and how many wait. */
  get counts(): { busy: number; idle: number } {
    return { busy: this.#slots.size, idle: this.#idle.size };
  }

  /** Takes a waiting instance of this function, the one used last, with the slot that it needs from now on. */
  takeIdle(record: FunctionRecord): { pooled: PooledInstance; slot: Slot } | undefined {
    for (const pooled of [...this.#idle.keys()].reverse()) {
      if (!isSameVersion(pooled.record, record)) continue;
      this.#forget(pooled);
      if (!pooled.instance.idle) {
        this.#close(pooled.instance);
        continue;
      }
      return { pooled, slot: this.#occupy(record.name) };
    }
    return undefined;
  }

  /**
   * Makes room for an instance that is to be started.
   *
   * @throws {FunctionsError} FIRN_TOO_MANY_INSTANCES if all instances serve.
   */
  reserve(name: string): Slot {
    if (this.#slots.size + this.#idle.size >= this.#maxInstances) {
      const [longest] = this.#idle.keys();
      if (longest === undefined) {
        throw new FunctionsError(
          "FIRN_TOO_MANY_INSTANCES",
          `All ${this.#maxInstances} instances of this server are serving. Try again later, or allow more.`,
        );
      }
      this.#forget(longest);
      this.#close(longest.instance);
    }
    return this.#occupy(name);
  }

  /** Gives a slot back. An instance that can serve again waits for the next request, any other is closed. */
  leave(slot: Slot, pooled?: PooledInstance): void {
    this.#slots.delete(slot);
    if (pooled === undefined) return;
    if (!pooled.instance.idle || this.#closed) {
      this.#close(pooled.instance);
      return;
    }
    const timer = setTimeout(() => {
      this.#forget(pooled);
      this.#close(pooled.instance);
    }, this.#idleMs);
    timer.unref();
    this.#idle.set(pooled, timer);
    // One that ends while it waits takes no room.
    if (!this.#watched.has(pooled)) void pooled.instance.exited.then(() => this.#forget(pooled));
    this.#watched.add(pooled);
  }

  /** Closes the waiting instances of a function, those of the version that serves apart. */
  evict(name: string, serving?: FunctionRecord): void {
    for (const pooled of [...this.#idle.keys()]) {
      if (pooled.record.name !== name || isSameVersion(pooled.record, serving)) continue;
      this.#forget(pooled);
      this.#close(pooled.instance);
    }
  }

  /** Closes an instance that will not be used again. */
  discard(slot: Slot, instance: Instance | undefined): void {
    this.#slots.delete(slot);
    if (instance !== undefined) this.#close(instance);
  }

  /** Closes all waiting instances, and from now on those that leave; resolves when the processes of the closed are gone. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const pooled of [...this.#idle.keys()]) {
      this.#forget(pooled);
      this.#close(pooled.instance);
    }
    await Promise.all(this.#closing);
  }

  #occupy(name: string): Slot {
    const slot = { name };
    this.#slots.add(slot);
    return slot;
  }

  #forget(pooled: PooledInstance): void {
    clearTimeout(this.#idle.get(pooled));
    this.#idle.delete(pooled);
  }

  #close(instance: Instance): void {
    const closed = instance.close().catch(() => {});
    this.#closing.add(closed);
    void closed.then(() => this.#closing.delete(closed));
  }
}
