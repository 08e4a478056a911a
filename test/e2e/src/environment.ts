import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The root of the checkout; an ARM host sees it under the same path. */
export const repository: string = join(import.meta.dirname, "..", "..", "..");

/** The rig that the tests run in, if this machine is no ARM host itself. */
export const RIG_NAME = "default";

/** Where the server under test keeps its files, on the ARM host's own disk. */
export const FOLDER = "/var/lib/firn/e2e";

/** The server's port on the ARM host. */
export const PORT = 18_100;

/**
 * Kernel and runtimes of the guest: `FIRN_GUEST_KERNEL` and `FIRN_GUEST_RUNTIMES` of the environment, else those that
 * `npm run images` built last.
 */
export function guestImages(): { kernel: string; runtimes: string } {
  const built = readBuilt();
  const find = (name: string) => {
    const path = process.env[name] ?? built[name];
    if (path === undefined) throw new Error(`${name} is not set. Build the images first: npm run images`);
    return path;
  };
  return { kernel: find("FIRN_GUEST_KERNEL"), runtimes: find("FIRN_GUEST_RUNTIMES") };
}

function readBuilt(): Record<string, string> {
  try {
    const text = readFileSync(join(repository, ".cache", "images.env"), "utf8");
    return Object.fromEntries(text.split("\n").map((line) => line.split("=", 2) as [string, string]));
  } catch {
    return {};
  }
}
