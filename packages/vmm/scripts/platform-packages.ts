// What a release does about the platform packages in `npm/`. They cannot be workspaces, because npm refuses to install one that is
// not for the machine at hand, and `@firn/vmm` can depend on them only when it is published: before, they are in no registry.
//
//   version   gives them the version of @firn/vmm
//   check     fails unless they have that version and all their files
//   link      checks, and makes them optional dependencies of @firn/vmm (before packing)
//   unlink    takes that back (after packing)

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

interface Manifest {
  name: string;
  version: string;
  files: string[];
  optionalDependencies?: Record<string, string>;
}

const root = join(import.meta.dirname, "..");
const manifestPath = join(root, "package.json");
const manifest = read(manifestPath);
const platformFolders = readdirSync(join(root, "npm")).map((name) => join(root, "npm", name));

const actions: Record<string, () => void> = { version, check, link, unlink };
const action = actions[process.argv[2] ?? ""];
if (action === undefined) fail(`say one of ${Object.keys(actions).join(", ")}`);
action();

function version(): void {
  for (const folder of platformFolders) {
    const path = join(folder, "package.json");
    write(path, { ...read(path), version: manifest.version });
  }
}

function check(): void {
  for (const folder of platformFolders) {
    const { name, version, files } = read(join(folder, "package.json"));
    if (version !== manifest.version) {
      fail(
        `${name} has version ${version}, ${manifest.name} ${manifest.version}: run \`npm run version-packages\`.`,
      );
    }
    const missing = files.find((file) => !existsSync(join(folder, file)));
    if (missing !== undefined) {
      fail(`${join(folder, missing)} is missing: run \`npm run build -w @firn/vmm-napi\`.`);
    }
  }
}

function link(): void {
  check();
  const names = platformFolders.map((folder) => read(join(folder, "package.json")).name);
  const optionalDependencies = Object.fromEntries(names.map((name) => [name, manifest.version]));
  write(manifestPath, { ...manifest, optionalDependencies });
}

function unlink(): void {
  const { optionalDependencies: _, ...rest } = manifest;
  write(manifestPath, rest);
}

function read(path: string): Manifest {
  return JSON.parse(readFileSync(path, "utf8"));
}

function write(path: string, content: object): void {
  writeFileSync(path, `${JSON.stringify(content, undefined, 2)}\n`);
}

function fail(why: string): never {
  console.error(`platform packages: ${why}`);
  process.exit(1);
}
