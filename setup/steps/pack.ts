import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../command.ts";
import { repository } from "../machine.ts";
import { scriptEnvironment } from "./builds.ts";

const platformPackage = "./packages/vmm/npm/linux-arm64-gnu";

/** Packs `@firn/snapshots` and what it needs, which must be built, as a release does. Returns the tarballs' paths by their variables. */
export async function packSnapshots(): Promise<Record<string, string>> {
  const folder = join(repository, ".cache", "packed");
  await mkdir(folder, { recursive: true });
  const pack = async (...what: string[]): Promise<string> => {
    const args = ["pack", ...what, "--json", "--silent", "--pack-destination", folder];
    const { stdout } = await run("npm", args, { cwd: repository, env: scriptEnvironment() });
    // What the package's own scripts print comes first.
    const [packed] = JSON.parse(stdout.slice(stdout.indexOf("[")));
    return join(folder, packed.filename);
  };
  return {
    FIRN_VMM_TARBALL: await pack("--workspace", "@firn/vmm"),
    FIRN_VMM_PLATFORM_TARBALL: await pack(platformPackage),
    FIRN_PROTOCOL_TARBALL: await pack("--workspace", "@firn/protocol"),
    FIRN_SNAPSHOTS_TARBALL: await pack("--workspace", "@firn/snapshots"),
  };
}
