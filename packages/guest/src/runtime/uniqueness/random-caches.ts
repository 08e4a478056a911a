import crypto, { randomFillSync, webcrypto } from "node:crypto";
import { syncBuiltinESMExports } from "node:module";

/** randomInt draws 48 bits at a time. */
const DRAW_BYTES = 6;
const DRAW_RANGE = 2 ** 48;

type RandomUuid = (options?: { disableEntropyCache?: boolean }) => string;

/**
 * Makes randomUUID, of node:crypto and of Web Crypto, and randomInt draw anew at every call: Node.js keeps 128 ids and 6 KiB of
 * random bytes in store, which all clones of a snapshot would hand out.
 */
export function bypassRandomCaches(): void {
  const mutable = crypto as unknown as Record<string, unknown>;
  for (const name of ["randomUUID", "randomUUIDv7"]) {
    const original = mutable[name];
    if (typeof original === "function") mutable[name] = uncached(original as RandomUuid, name);
  }
  mutable.randomInt = randomIntUncached(crypto.randomInt);

  const prototype = Object.getPrototypeOf(webcrypto) as Record<string, unknown>;
  for (const name of ["randomUUID", "randomUUIDv7"]) {
    const original = prototype[name];
    if (typeof original !== "function") continue;
    const draw = mutable[name] as RandomUuid;
    const replacement = {
      [name](this: unknown) {
        // Anything but a Crypto object is the original's to refuse.
        return this === webcrypto ? draw() : original.call(this);
      },
    };
    const descriptor = Object.getOwnPropertyDescriptor(prototype, name);
    Object.defineProperty(prototype, name, { ...descriptor, value: replacement[name] });
  }
  syncBuiltinESMExports();
}

function uncached(original: RandomUuid, name: string): RandomUuid {
  const replacement: RandomUuid = (options) =>
    options === undefined || (typeof options === "object" && options !== null)
      ? original({ ...options, disableEntropyCache: true })
      : original(options);
  return Object.defineProperty(replacement, "name", { value: name });
}

type Callback = (error: Error | null, value: number) => void;

function randomIntUncached(original: typeof crypto.randomInt): typeof crypto.randomInt {
  function randomInt(...args: unknown[]): number | undefined {
    const callback = typeof args.at(-1) === "function" ? (args.at(-1) as Callback) : undefined;
    const numbers = callback === undefined ? args : args.slice(0, -1);
    const [min, max] = numbers.length === 1 ? [0, numbers[0]] : numbers;
    if (!isValidRange(min, max)) {
      // The original knows best how to refuse it.
      return (original as (...args: unknown[]) => number)(...args);
    }
    const value = drawInteger(min as number, max as number);
    if (callback === undefined) return value;
    process.nextTick(callback, null, value);
    return undefined;
  }
  return randomInt as typeof crypto.randomInt;
}

function isValidRange(min: unknown, max: unknown): boolean {
  if (!Number.isSafeInteger(min) || !Number.isSafeInteger(max)) return false;
  const range = (max as number) - (min as number);
  return range > 0 && range < DRAW_RANGE;
}

/** A number of `min` to `max` - 1, all equally likely: draws beyond the last multiple of the range are thrown away. */
function drawInteger(min: number, max: number): number {
  const range = max - min;
  const limit = DRAW_RANGE - (DRAW_RANGE % range);
  const bytes = Buffer.alloc(DRAW_BYTES);
  for (;;) {
    const drawn = randomFillSync(bytes).readUIntBE(0, DRAW_BYTES);
    if (drawn < limit) return (drawn % range) + min;
  }
}
