import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, openSync, realpathSync } from "node:fs";
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

const daemon = "/usr/lib/qemu/virtiofsd";

/** Starts the daemon that serves a share. It ends by itself when QEMU does. */
export function startShareDaemon(share: Share, socket: string, logFile: string): ChildProcess {
  const log = openSync(logFile, "a");
  const options = [`--socket-path=${socket}`, "--thread-pool-size=0", "-o", `source=${share.path}`];
  options.push("-o", "cache=auto", "-o", "sandbox=namespace", "-o", "no_posix_lock", "-o", "log_level=warn");
  // The daemon wants to be root; in a user namespace of its own, an ordinary user is.
  const [command, ...args] =
    process.getuid?.() === 0 ? [daemon, ...options] : ["unshare", "--map-root-user", daemon, ...options];
  const child = spawn(command ?? daemon, args, { detached: true, stdio: ["ignore", log, log] });
  child.unref();
  return child;
}
