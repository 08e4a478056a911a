import { mkdirSync, realpathSync } from "node:fs";
import { resolve, sep } from "node:path";
import { cacheDirectory } from "../../../setup/cache.ts";
import { repository } from "../../../setup/machine.ts";

/** A directory of the host that a rig sees at the same path. */
export interface Share {
  path: string;
  writable: boolean;
}

/**
 * What a rig shares with its host: the repository, so that what was built there runs in place; the cache, read-only, for the
 * images; cargo's target directory where it is elsewhere; and what FIRN_RIG_SHARE lists, separated by colons.
 */
export function chooseShares(env: NodeJS.ProcessEnv = process.env): Share[] {
  const wanted: Share[] = [
    { path: repository, writable: true },
    { path: cacheDirectory(env), writable: false },
  ];
  const more = [env.CARGO_TARGET_DIR, ...(env.FIRN_RIG_SHARE ?? "").split(":")];
  for (const path of more) if (path) wanted.push({ path: resolve(path), writable: true });
  const shares: Share[] = [];
  for (const share of wanted) {
    if (shares.some(({ path }) => contains(path, share.path))) continue;
    mkdirSync(share.path, { recursive: true });
    shares.push({ ...share, path: realpathSync(share.path) });
  }
  return shares;
}

/** True when `path` is `directory` or lies in it. */
export function contains(directory: string, path: string): boolean {
  return path === directory || path.startsWith(directory + sep);
}
