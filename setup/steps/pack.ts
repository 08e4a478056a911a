import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../command.ts";
import { repository } from "../machine.ts";
import { scriptEnvironment } from "./builds.ts";

const platformPackage = "./packages/vmm/npm/linux-arm64-gnu";

/** Packs `@firn/vmm` and its package for arm64 Linux, which must be built, as a release does. Returns the paths of both tarballs. */
export async function packVmm(): Promise<[string, string]> {
  const folder = join(repository, ".cache", "packed");
  await mkdir(folder, { recursive: true });
  const pack = async (...what: string[]): Promise<string> => {
    const args = ["pack", ...what, "--json", "--silent", "--pack-destination", folder];
    const { stdout } = await run("npm", args, { cwd: repository, env: scriptEnvironment() });
    // What the package's own scripts print comes first.
    const [packed] = JSON.parse(stdout.slice(stdout.indexOf("[")));
    return join(folder, packed.filename);
  };
  return [await pack("--workspace", "@firn/vmm"), await pack(platformPackage)];
}
