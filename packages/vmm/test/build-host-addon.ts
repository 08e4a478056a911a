import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

/**
 * vitest's global setup: builds the addon for this machine, which spawns and supervises processes here as it does on ARM. With
 * FIRN_VMM_ADDON set, the addon that it names is tested as it is.
 */
export default function buildHostAddon(): void {
  if (process.env.FIRN_VMM_ADDON !== undefined) return;
  const packageFolder = join(import.meta.dirname, "..");
  const script = join(packageFolder, "..", "..", "crates", "vmm-napi", "scripts", "build.ts");
  execFileSync(process.execPath, [script, "--host"], { stdio: ["ignore", "ignore", "inherit"] });
  const addon = join(packageFolder, ".cache", `firn-vmm.linux-${process.arch}-gnu.node`);
  if (!existsSync(addon)) throw new Error(`${script} left no ${addon}`);
  process.env.FIRN_VMM_ADDON = addon;
}
