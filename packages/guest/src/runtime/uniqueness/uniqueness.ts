import { fileURLToPath } from "node:url";
import type { Addon } from "../addon.ts";
import type { Warning } from "../warning.ts";
import { warningOf } from "./draw-warning.ts";
import { Draws, refill } from "./draws.ts";
import { settleHttpDate, watchHttpDate } from "./http-date.ts";
import { replaceMathRandom } from "./math-random.ts";
import { bypassRandomCaches } from "./random-caches.ts";
import { keepTimeOrigin } from "./time-origin.ts";
import { Workers } from "./workers.ts";

/**
 * Keeps clones of one snapshot from drawing the same random numbers, and from living in the past. What is covered: everything that
 * draws from OpenSSL (node:crypto, Web Crypto, TLS), Math.random, randomUUID and randomInt with their caches, in worker threads and in
 * processes that child_process.fork() starts, too;
 * large buffers of random bytes that the main thread's code filled before the snapshot, which libraries hand out piece by piece; the Date
 * header of HTTP responses, and performance.timeOrigin. What clones share nevertheless: address layout, V8's hash seed, Math.random of
 * contexts made by node:vm, what a worker thread draws from OpenSSL in the instants until the main thread has reseeded, and smaller random
 * values that the function drew before the snapshot and keeps.
 */
export class Uniqueness {
  readonly #addon: Addon;
  readonly #reseedMathRandom: (seed: Uint8Array) => void;
  readonly #workers: Workers;
  readonly #draws: Draws;

  private constructor(addon: Addon, preload: string, currentRehearsal: () => string | undefined) {
    this.#addon = addon;
    this.#draws = new Draws(currentRehearsal);
    this.#workers = new Workers(preload);
    // A process that is forked runs with the options that are here.
    process.execArgv.push("--require", fileURLToPath(preload));
    this.#reseedMathRandom = replaceMathRandom(() => {
      if (this.#draws.watching) this.#draws.note("Math.random");
    });
    bypassRandomCaches();
    this.#draws.install();
    keepTimeOrigin();
    watchHttpDate();
  }

  /**
   * Replaces what must be replaced before the function is imported.
   *
   * @param preload URL of a module that makes a worker thread or a forked process unique when it is imported there.
   * @param currentRehearsal Tells the request that is rehearsed, if it is its code that runs.
   */
  static install(addon: Addon, preload: string, currentRehearsal: () => string | undefined): Uniqueness {
    return new Uniqueness(addon, preload, currentRehearsal);
  }

  /** A function is about to be imported: what it draws from here on, until the snapshot, is noted. */
  watch(): void {
    this.#draws.start();
  }

  /** A request is about to be rehearsed, perhaps once more. */
  beginRehearsal(requestId: string): void {
    this.#draws.beginRehearsal(requestId);
  }

  /** What clones of a snapshot would share that is taken now. */
  warnings(): Warning[] {
    const warning = warningOf(this.#draws.list());
    return warning === undefined ? [] : [warning];
  }

  /** Waits until nothing is cached that a clone would take for the present. Takes at most a second. */
  async beforeSnapshot(): Promise<void> {
    await settleHttpDate();
  }

  /** The last step before the snapshot; {@link afterRestore} is the next. */
  holdBreath(): void {
    this.#workers.beforeSnapshot();
  }

  /**
   * Makes this process differ from every other that continues from the same snapshot.
   *
   * @param entropy 64 bytes of this resume alone.
   * @throws {Error} if OpenSSL refuses: then nothing may run any further.
   */
  afterRestore(entropy: Uint8Array): void {
    if (!this.#addon.reseed(entropy.subarray(0, 48))) {
      throw new Error("OpenSSL did not accept a new seed: its generators are unusable.");
    }
    this.#reseedMathRandom(entropy.subarray(48, 64));
    refill(this.#draws.pools());
    this.#draws.stop();
    this.#workers.afterRestore();
  }
}
