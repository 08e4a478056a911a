import crypto, { randomFillSync, webcrypto } from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import { callerOutside } from "./caller.ts";

/** Buffers from this size on, in bytes, are taken for pools, of which a library hands out pieces for a long time. Keys are shorter. */
export const POOL_BYTES = 128;

/** How many draws of one source have their callers looked for: that takes a while, and there may be millions. */
const LOOKED_AT = 200;
/** From how many pools on those that are no longer in use are left out. */
const FEW_POOLS = 1000;

/** Functions of node:crypto that draw. */
const CRYPTO_SOURCES = [
  ...[
    "randomBytes",
    "randomFill",
    "randomFillSync",
    "getRandomValues",
    "randomInt",
    "randomUUID",
    "randomUUIDv7",
  ],
  ...[
    "generateKey",
    "generateKeySync",
    "generateKeyPair",
    "generateKeyPairSync",
    "generatePrime",
    "generatePrimeSync",
  ],
];

/** What was drawn, and by whom; pools apart. */
export interface Draw {
  /** For example "getRandomValues". */
  readonly source: string;
  /** File and line in the function. */
  readonly caller: string;
}

// biome-ignore lint/suspicious/noExplicitAny: it stands for any function.
type AnyFunction = (...args: any[]) => unknown;

/** Watches who draws random numbers before a snapshot: whatever of them is kept is the same in all clones. */
export class Draws {
  readonly #draws = new Map<string, Draw>();
  readonly #looks = new Map<string, number>();
  #pools: WeakRef<ArrayBufferView<ArrayBuffer>>[] = [];
  #poolsLimit = FEW_POOLS;
  /** Whether draws are noted. */
  watching = false;
  /** Whether a function that draws is at work, which may draw by another one. */
  #inside = false;

  /** Puts the watch around every function that draws, once and for all. */
  install(): void {
    const prototype = Object.getPrototypeOf(webcrypto) as object;
    for (const name of CRYPTO_SOURCES) this.#wrap(crypto, name);
    for (const name of ["getRandomValues", "randomUUID", "randomUUIDv7"]) this.#wrap(prototype, name);
    this.#wrap(Object.getPrototypeOf(webcrypto.subtle) as object, "generateKey");
    syncBuiltinESMExports();
  }

  /** From here on draws are noted. */
  start(): void {
    this.watching = true;
  }

  /** From here on they are not, and what was noted is forgotten. */
  stop(): void {
    this.watching = false;
    this.#draws.clear();
    this.#looks.clear();
    this.#pools = [];
    this.#poolsLimit = FEW_POOLS;
  }

  /** What was drawn so far, pools apart. */
  list(): Draw[] {
    return [...this.#draws.values()];
  }

  /** Buffers of {@link POOL_BYTES} and more that were filled so far and are still in use. */
  pools(): ArrayBufferView<ArrayBuffer>[] {
    return this.#pools.map((pool) => pool.deref()).filter((pool) => pool !== undefined);
  }

  /** Notes a draw of the function named `source`, and who called it. */
  note(source: string, args: readonly unknown[] = [], result?: unknown): void {
    const filled = filledBy(source, args, result);
    if (filled !== undefined && filled.byteLength >= POOL_BYTES) {
      this.#addPool(filled);
      return;
    }
    const looks = this.#looks.get(source) ?? 0;
    if (looks >= LOOKED_AT) return;
    this.#looks.set(source, looks + 1);
    const caller = callerOutside();
    if (caller !== undefined) this.#draws.set(`${source} ${caller}`, { source, caller });
  }

  #addPool(pool: ArrayBufferView<ArrayBuffer>): void {
    this.#pools.push(new WeakRef(pool));
    if (this.#pools.length < this.#poolsLimit) return;
    this.#pools = this.#pools.filter((each) => each.deref() !== undefined);
    this.#poolsLimit = FEW_POOLS + 2 * this.#pools.length;
  }

  #wrap(owner: object, name: string): void {
    const descriptor = Object.getOwnPropertyDescriptor(owner, name);
    const original = descriptor?.value as AnyFunction | undefined;
    if (typeof original !== "function") return;
    const draws = this;
    // A proxy has the name, the length and the other properties of what it stands for.
    const value = new Proxy(original, {
      apply(target, self, args: unknown[]): unknown {
        if (!draws.watching || draws.#inside) return Reflect.apply(target, self, args);
        draws.#inside = true;
        try {
          const result = Reflect.apply(target, self, args);
          draws.note(name, args, result);
          return result;
        } finally {
          draws.#inside = false;
        }
      },
    });
    Object.defineProperty(owner, name, { ...descriptor, value });
  }
}

/** Fills buffers with other random bytes. */
export function refill(pools: readonly ArrayBufferView<ArrayBuffer>[]): void {
  for (const pool of pools) randomFillSync(new Uint8Array(pool.buffer, pool.byteOffset, pool.byteLength));
}

/** The buffer that a draw filled as a whole. */
function filledBy(
  source: string,
  args: readonly unknown[],
  result: unknown,
): ArrayBufferView<ArrayBuffer> | undefined {
  const isPart = source.startsWith("randomFill") && typeof args[1] === "number";
  for (const candidate of [result, ...(isPart ? [] : args)]) {
    if (ArrayBuffer.isView(candidate) && candidate.buffer instanceof ArrayBuffer) {
      return candidate as ArrayBufferView<ArrayBuffer>;
    }
  }
  return undefined;
}
