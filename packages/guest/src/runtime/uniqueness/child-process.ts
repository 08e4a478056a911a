import { randomBytes } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import type { Addon } from "../addon.ts";
import { replaceMathRandom, SEED_BYTES } from "./math-random.ts";
import { bypassRandomCaches } from "./random-caches.ts";
import { aroundDraws } from "./random-functions.ts";
import { keepTimeOrigin } from "./time-origin.ts";

/**
 * The agent writes another number here at each resume, after it has reseeded the kernel and before any code of the function runs: four
 * bytes, which every process may map. One that has it mapped is taken for one that reseeds itself.
 */
export const GENERATION_FILE = "/run/firn/generation";

/** What OpenSSL's generators get, in bytes. */
const ENTROPY_BYTES = 48;

/**
 * Makes this process draw other random numbers in every clone: one that the function's process has forked, of which no hook is run. Before
 * each draw it looks whether the machine was resumed, and reseeds itself from the kernel if so. It cannot see what OpenSSL draws for
 * itself, as in TLS, before anything else was drawn; nor has it a part in large buffers that were filled before.
 *
 * @param load Loads the addon.
 */
export function makeChildUnique(load: () => Addon, generationFile: string): void {
  bypassRandomCaches();
  keepTimeOrigin();
  const addon = loadIfPossible(load);
  const word = addon?.mapWord(generationFile);
  // Not in a guest of Firn, or another Node.js than the runtime's: the agent warns of a process that has not mapped the file.
  if (addon === undefined || word === undefined) return;
  const generation = new Int32Array(word);
  let seeded = Atomics.load(generation, 0);
  const followGeneration = (): void => {
    const now = Atomics.load(generation, 0);
    if (now === seeded) return;
    seeded = now;
    if (!addon.reseed(kernelRandomBytes(ENTROPY_BYTES))) {
      throw new Error("OpenSSL did not accept a new seed: its generators are unusable.");
    }
    reseedMathRandom(randomBytes(SEED_BYTES));
  };
  const reseedMathRandom = replaceMathRandom(followGeneration);
  aroundDraws((_name, _args, draw) => {
    followGeneration();
    return draw();
  });
}

function loadIfPossible(load: () => Addon): Addon | undefined {
  try {
    return load();
  } catch {
    return undefined;
  }
}

function kernelRandomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const file = openSync("/dev/urandom", "r");
  try {
    // The kernel gives up to 256 bytes at once.
    readSync(file, bytes);
  } finally {
    closeSync(file);
  }
  return bytes;
}
