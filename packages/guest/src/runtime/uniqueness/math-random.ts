import { randomBytes } from "node:crypto";

/** Size of a seed in bytes. */
export const SEED_BYTES = 16;

/**
 * Replaces Math.random: V8's own keeps 64 drawn values and a state that cannot be set.
 *
 * @param beforeDraw Called before each draw; may set a new state.
 * @returns Sets a new state; takes {@link SEED_BYTES} bytes.
 */
export function replaceMathRandom(beforeDraw?: () => void): (seed: Uint8Array) => void {
  const generator = new Xoshiro128(randomBytes(SEED_BYTES));
  const random = (): number => {
    beforeDraw?.();
    return generator.nextDouble();
  };
  Object.defineProperty(random, "name", { value: "random" });
  Object.defineProperty(Math, "random", {
    value: random,
    writable: true,
    enumerable: false,
    configurable: true,
  });
  return (seed) => generator.seed(seed);
}

/** xoshiro128** 1.1 by Blackman and Vigna: 128 bits of state, equidistributed, not for secrets. */
export class Xoshiro128 {
  #a = 0;
  #b = 0;
  #c = 0;
  #d = 0;

  constructor(seed: Uint8Array) {
    this.seed(seed);
  }

  /** Starts anew from {@link SEED_BYTES} bytes. */
  seed(seed: Uint8Array): void {
    const view = new DataView(seed.buffer, seed.byteOffset, SEED_BYTES);
    this.#a = view.getUint32(0, true);
    this.#b = view.getUint32(4, true);
    this.#c = view.getUint32(8, true);
    // The state of only zeros is the one that never changes.
    this.#d = view.getUint32(12, true) || 1;
  }

  /** The next number of 0 to 2^32 - 1. */
  nextUint32(): number {
    const product = Math.imul(this.#b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** The next number of [0, 1), a multiple of 2^-53. */
  nextDouble(): number {
    const high = this.nextUint32() >>> 5;
    const low = this.nextUint32() >>> 6;
    return (high * 0x400_0000 + low) / 0x20_0000_0000_0000;
  }
}
