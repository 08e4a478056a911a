import crypto, { webcrypto } from "node:crypto";
import { syncBuiltinESMExports } from "node:module";

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

// biome-ignore lint/suspicious/noExplicitAny: it stands for any function.
type AnyFunction = (...args: any[]) => unknown;

/** Calls a function that draws. */
type Draw = () => unknown;

/**
 * Puts something around every function of node:crypto and Web Crypto that draws random numbers, once and for all.
 *
 * @param around Gets the function's name, its arguments, and what calls it; returns what that returns.
 */
export function aroundDraws(around: (name: string, args: unknown[], draw: Draw) => unknown): void {
  const wrap = (owner: object, name: string): void => {
    const descriptor = Object.getOwnPropertyDescriptor(owner, name);
    const original = descriptor?.value as AnyFunction | undefined;
    if (typeof original !== "function") return;
    // A proxy has the name, the length and the other properties of what it stands for.
    const value = new Proxy(original, {
      apply: (target, self, args: unknown[]) => around(name, args, () => Reflect.apply(target, self, args)),
    });
    Object.defineProperty(owner, name, { ...descriptor, value });
  };
  const prototype = Object.getPrototypeOf(webcrypto) as object;
  for (const name of CRYPTO_SOURCES) wrap(crypto, name);
  for (const name of ["getRandomValues", "randomUUID", "randomUUIDv7"]) wrap(prototype, name);
  wrap(Object.getPrototypeOf(webcrypto.subtle) as object, "generateKey");
  syncBuiltinESMExports();
}
