import { copyFile, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { type Artefact, artefact } from "../../setup/cache.ts";
import { resolveForArm, unpackForArm } from "../../setup/debian.ts";
import type { RuntimeDefinition, RuntimeParts } from "../runtimes/definition.ts";
import type { RuntimeManifest } from "../runtimes/manifest.ts";
import { makeErofs } from "./erofs.ts";

/** The agent; it is process 1. */
const agentPath = "/usr/sbin/init";
/** Where the agent finds what its image says about itself. */
const manifestPath = "/etc/firn/runtime.json";
/** It is the `/bin/sh` of functions that start programs. */
const shell = "busybox-static";

const emptyDirectories = [
  ...["dev", "proc", "sys", "tmp", "run", "srv", "etc"],
  ...["usr/bin", "usr/sbin", "usr/lib"],
];

/** The manifest as it is written to files. */
export function manifestText(manifest: RuntimeManifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/**
 * Builds the read-only root file system of a runtime, on any machine and as any user. The artefact holds `rootfs.erofs`, the same
 * bytes for the same parts.
 */
export async function buildRootfs(definition: RuntimeDefinition, parts: RuntimeParts): Promise<Artefact> {
  const { manifest, leftOut, links = {}, finish } = definition;
  const wanted = new Set([...definition.packages, shell]);
  const packages = (await resolveForArm([...wanted])).filter(({ name }) => wanted.has(name));
  const files = {
    [agentPath]: parts.agent,
    ...(await definition.files(parts)),
    ...(await filesOf(definition.folders ?? {})),
  };
  const texts = { ...etcOf(manifest), [manifestPath]: manifestText(manifest), ...definition.texts };
  const contents = Object.entries(files).map(
    async ([path, file]) => [`file ${path}`, await readFile(file)] as const,
  );
  return artefact({
    kind: `rootfs-${manifest.name}`,
    inputs: {
      ...Object.fromEntries(await Promise.all(contents)),
      packages: packages.map(({ name, version }) => `${name} ${version}`).join("\n"),
      texts: JSON.stringify(texts),
      layout: JSON.stringify([3, leftOut, emptyDirectories, links, finish?.key ?? ""]),
    },
    async build(directory) {
      const root = join(directory, "root");
      for (const name of emptyDirectories) await mkdir(join(root, name), { recursive: true });
      for (const name of ["bin", "sbin", "lib"]) await symlink(`usr/${name}`, join(root, name));
      await unpackForArm(packages, root);
      for (const path of leftOut) await rm(join(root, path), { recursive: true, force: true });
      await rename(join(root, "usr/bin/busybox"), join(root, "usr/bin/sh"));
      for (const [path, text] of Object.entries(texts)) await writeFile(await placeOf(root, path), text);
      for (const [path, file] of Object.entries(files)) await copyFile(file, await placeOf(root, path));
      for (const [path, target] of Object.entries(links)) await symlink(target, await placeOf(root, path));
      await finish?.run(root);
      await makeErofs(root, join(directory, "rootfs.erofs"));
      await rm(root, { recursive: true });
    },
  });
}

/** The files in folders of this machine, by the paths at which the image has them. Byte code that a test left behind is none of them. */
async function filesOf(folders: Readonly<Record<string, string>>): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const [place, folder] of Object.entries(folders)) {
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile() && !path.includes("__pycache__")) found[join(place, relative(folder, path))] = path;
    }
  }
  return Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function placeOf(root: string, path: string): Promise<string> {
  const place = join(root, path);
  await mkdir(dirname(place), { recursive: true });
  return place;
}

function etcOf({ name, version }: RuntimeManifest): Record<string, string> {
  return {
    "/etc/passwd": "root:x:0:0::/:/bin/false\nfunction:x:1000:1000::/tmp:/bin/false\n",
    "/etc/group": "root:x:0:\nfunction:x:1000:\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "/etc/os-release": `ID=firn\nNAME="Firn guest"\nVARIANT="${name} ${version}"\n`,
  };
}
