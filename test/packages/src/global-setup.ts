import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { publishedPackages } from "./packages.ts";
import { run } from "./run.ts";

/** Packs every package as a release does. They must be built. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "firn-packages-"));
  const tarballs: Record<string, string> = {};
  // One after the other: the scripts of a package change its package.json while it is packed.
  for (const { folder: source, manifest } of publishedPackages()) {
    const output = await run("npm", ["pack", source, "--json", "--silent", "--pack-destination", folder]);
    // What the package's own scripts print comes first.
    const [packed] = JSON.parse(output.slice(output.indexOf("[\n"))) as [{ filename: string }];
    tarballs[manifest.name] = join(folder, packed.filename);
  }
  project.provide("tarballs", tarballs);
  return () => rm(folder, { recursive: true, force: true });
}

declare module "vitest" {
  interface ProvidedContext {
    /** By the packages' names. */
    tarballs: Record<string, string>;
  }
}
