import { link, mkdir, readdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Artefact, artefact } from "../../setup/cache.ts";
import type { RuntimeDefinition, RuntimeParts } from "../runtimes/definition.ts";
import { buildRootfs, manifestText } from "./rootfs.ts";
import { makeScratch } from "./scratch.ts";

const folder = join(import.meta.dirname, "..", "runtimes");

/**
 * Every runtime of this repository, in the order of their names, and then those of another folder.
 *
 * @param more A folder with a folder for each further runtime.
 */
export async function runtimeDefinitions(more?: string): Promise<RuntimeDefinition[]> {
  const own = await definitionsIn(folder);
  return more === undefined ? own : [...own, ...(await definitionsIn(more))];
}

async function definitionsIn(directory: string): Promise<RuntimeDefinition[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return Promise.all(
    names.sort().map(async (name) => {
      const module: { default: RuntimeDefinition } = await import(resolve(directory, name, "runtime.ts"));
      return module.default;
    }),
  );
}

/**
 * Builds every runtime, those of the folder `more` included. The artefact has a folder for each, of its name, with `rootfs.erofs`, `scratch.ext4` and `runtime.json`.
 */
export async function buildRuntimes(parts: RuntimeParts, more?: string): Promise<Artefact> {
  const definitions = await runtimeDefinitions(more);
  const scratch = await artefact({
    kind: "scratch",
    inputs: { layout: "1" },
    build: (directory) => makeScratch(join(directory, "scratch.ext4")),
  });
  const built: { name: string; text: string; rootfs: string }[] = [];
  for (const definition of definitions) {
    const { directory } = await buildRootfs(definition, parts);
    built.push({
      name: definition.manifest.name,
      text: manifestText(definition.manifest),
      rootfs: join(directory, "rootfs.erofs"),
    });
  }
  return artefact({
    kind: "runtimes",
    inputs: { scratch: scratch.directory, built: JSON.stringify(built) },
    async build(directory) {
      for (const { name, text, rootfs } of built) {
        const runtime = join(directory, name);
        await mkdir(runtime);
        await writeFile(join(runtime, "runtime.json"), text);
        // The same files: an image is large.
        await link(rootfs, join(runtime, "rootfs.erofs"));
        await link(join(scratch.directory, "scratch.ext4"), join(runtime, "scratch.ext4"));
      }
    },
  });
}
