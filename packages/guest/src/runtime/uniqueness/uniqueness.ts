import { settleHttpDate, watchHttpDate } from "./http-date.ts";
import { replaceMathRandom } from "./math-random.ts";
import { loadReseedAddon } from "./openssl.ts";
import { bypassRandomCaches } from "./random-caches.ts";

/**
 * Keeps clones of one snapshot from drawing the same random numbers, and from living in the past. What is covered: everything that
 * draws from OpenSSL (node:crypto, Web Crypto, TLS), Math.random of the main context, randomUUID and randomInt with their caches,
 * the Date header of HTTP responses. What clones share nevertheless: address layout, V8's hash seed, Math.random of contexts made by
 * node:vm, and whatever the function itself drew before the snapshot.
 */
export class Uniqueness {
  readonly #reseedOpenssl: (entropy: Uint8Array) => void;
  readonly #reseedMathRandom: (seed: Uint8Array) => void;

  private constructor(addon: string | undefined) {
    this.#reseedOpenssl = loadReseedAddon(addon);
    this.#reseedMathRandom = replaceMathRandom();
    bypassRandomCaches();
    watchHttpDate();
  }

  /**
   * Replaces what must be replaced before the function is imported.
   *
   * @param addon Path of the addon that reseeds OpenSSL; beside the runtime by default.
   * @throws {Error} if the addon cannot be loaded: without it clones would share their secrets.
   */
  static install(addon: string | undefined): Uniqueness {
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
    this.#reseedOpenssl(entropy.subarray(0, 48));
    this.#reseedMathRandom(entropy.subarray(48, 64));
  }
}
