import { fileURLToPath } from "node:url";

/** What only native code can do around a snapshot; `addon/reseed.c` has it. */
export interface Addon {
  /**
   * Reseeds every generator of OpenSSL that this thread uses: Node.js exports the functions for that to addons, but not to
   * JavaScript. Returns whether all took the new seed.
   */
  reseed(entropy: Uint8Array): boolean;
  /** Gives memory that malloc keeps for later back to the kernel. */
  releaseFreeMemory(): void;
  /** Keeps a descriptor from processes that this one starts. Returns whether there is such a descriptor. */
  closeOnExec(descriptor: number): boolean;
  /** The first four bytes of a file as they are at each look, only to be read; `undefined` if there is no such file. */
  mapWord(path: string): ArrayBuffer | undefined;
}

/** In place of the addon where nothing is snapshotted. */
const NONE: Addon = {
  reseed: () => true,
  releaseFreeMemory: () => {},
  closeOnExec: () => true,
  mapWord: () => undefined,
};

/**
 * Loads the addon.
 *
 * @param path Of the addon; `reseed.node` beside this file by default; "none" for a process that is in no microVM.
 * @throws {Error} if it cannot be loaded.
 */
export function loadAddon(path: string | undefined): Addon {
  if (path === "none") return NONE;
  const loaded = { exports: {} as Addon };
  process.dlopen(loaded, path ?? fileURLToPath(new URL("./reseed.node", import.meta.url)));
  return loaded.exports;
}
