import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The root of the checkout. */
export const repository: string = join(import.meta.dirname, "..", "..", "..");

/** What is looked at in a package.json. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly bin?: Readonly<Record<string, string>>;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly exports?: unknown;
}

/** A package that is published. */
export interface Published {
  readonly folder: string;
  readonly manifest: Manifest;
}

/** Folders of packages, those for one platform among them, which are no workspaces. */
const places = ["packages", "apps", "packages/vmm/npm"];

/** Every package of this repository that is published. */
export function publishedPackages(): Published[] {
  const all = places.flatMap((place) =>
    readdirSync(join(repository, place)).map((name) => join(repository, place, name)),
  );
  return all
    .map((folder) => ({ folder, manifest: readManifest(join(folder, "package.json")) }))
    .filter(({ manifest }) => manifest.private !== true);
}

/** Reads a package.json. */
export function readManifest(file: string): Manifest {
  return JSON.parse(readFileSync(file, "utf8")) as Manifest;
}

/** A package, and those of this repository that it needs, directly or not, from the packed manifests. */
export function withDependencies(name: string, manifests: Readonly<Record<string, Manifest>>): string[] {
  const found = new Set<string>();
  const visit = (one: string) => {
    const manifest = manifests[one];
    if (manifest === undefined || found.has(one)) return;
    found.add(one);
    for (const other of Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies }))
      visit(other);
  };
  visit(name);
  return [...found];
}
