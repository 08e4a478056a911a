import { fileURLToPath } from "node:url";

interface ReseedAddon {
  /** Reseeds every generator of OpenSSL that this thread uses; returns whether all took the new seed. */
  reseed(entropy: Uint8Array): boolean;
}

/**
 * Loads the addon that reseeds OpenSSL: Node.js exports the functions of OpenSSL to addons, but none of them to JavaScript.
 *
 * @param path Of the addon; `reseed.node` beside this file by default.
 * @returns Mixes entropy into all generators; throws if one refuses.
 * @throws {Error} if the addon cannot be loaded.
 */
export function loadReseedAddon(path: string | undefined): (entropy: Uint8Array) => void {
  const loaded = { exports: {} as ReseedAddon };
  process.dlopen(loaded, path ?? fileURLToPath(new URL("./reseed.node", import.meta.url)));
  const { reseed } = loaded.exports;
  return (entropy) => {
    if (!reseed(entropy)) throw new Error("OpenSSL did not accept a new seed: its generators are unusable.");
  };
}
