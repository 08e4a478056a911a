import type { Addon } from "../addon.ts";
import { settleHttpDate, watchHttpDate } from "./http-date.ts";
import { replaceMathRandom } from "./math-random.ts";
import { bypassRandomCaches } from "./random-caches.ts";

/**
 * Keeps clones of one snapshot from drawing the same random numbers, and from living in the past. What is covered: everything that
 * draws from OpenSSL (node:crypto, Web Crypto, TLS), Math.random of the main context, randomUUID and randomInt with their caches,
 * the Date header of HTTP responses. What clones share nevertheless: address layout, V8's hash seed, Math.random of contexts made by
 * node:vm, and whatever the function itself drew before the snapshot.
 */
export class Uniqueness {
  readonly #addon: Addon;
  readonly #reseedMathRandom: (seed: Uint8Array) => void;

  private constructor(addon: Addon) {
    this.#addon = addon;
    this.#reseedMathRandom = replaceMathRandom();
    bypassRandomCaches();
    watchHttpDate();
  }

  /** Replaces what must be replaced before the function is imported. */
  static install(addon: Addon): Uniqueness {
    return new Uniqueness(addon);
  }

  /** Waits until nothing is cached that a clone would take for the present. Takes at most a second. */
  beforeSnapshot(): Promise<void> {
    return settleHttpDate();
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
  }
}
