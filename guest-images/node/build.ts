import { copyFile, mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Artefact, artefact } from "../../setup/cache.ts";
import { run } from "../../setup/command.ts";
import { resolveForArm, unpackForArm } from "../../setup/debian.ts";
import { fetchNodeForArm, nodeVersion } from "../../setup/node-for-arm.ts";

/** What other parts of the repository built for the image. */
export interface RuntimeParts {
  /** The static binary of `crates/guest-agent`. */
  agent: string;
  /** The bundle of `packages/guest`. */
  runtime: string;
  /** Its add-on, which reseeds OpenSSL. */
  reseedAddon: string;
}

// Node.js needs the libraries; busybox is the `/bin/sh` of functions that start programs.
const wantedPackages = ["libc6", "libgcc-s1", "libstdc++6", "libatomic1", "busybox-static"];
const keptPackages = new Set([...wantedPackages]);

// Documentation, and what converts between character sets, which Node.js brings itself.
const unwanted = ["usr/share", "usr/lib/aarch64-linux-gnu/gconv", "usr/lib/aarch64-linux-gnu/audit"];

const emptyDirectories = [
  "dev",
  "proc",
  "sys",
  "tmp",
  "run",
  "srv",
  "etc",
  "usr/bin",
  "usr/sbin",
  "usr/lib",
  "opt/firn/runtime",
];

const etc: Readonly<Record<string, string>> = {
  passwd: "root:x:0:0::/:/bin/false\nfunction:x:1000:1000::/tmp:/bin/false\n",
  group: "root:x:0:\nfunction:x:1000:\n",
  hosts: "127.0.0.1 localhost\n::1 localhost\n",
  "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
  "os-release": `ID=firn\nNAME="Firn guest"\nVARIANT="Node.js ${nodeVersion}"\n`,
};

/**
 * Builds the read-only root file system of Node.js guests, on any machine and as any user. The artefact holds `rootfs.erofs`,
 * the same bytes for the same parts.
 */
export async function buildNodeImage(parts: RuntimeParts): Promise<Artefact> {
  const node = await fetchNodeForArm();
  const resolved = await resolveForArm(wantedPackages);
  const packages = resolved.filter(({ name }) => keptPackages.has(name));
  return artefact({
    kind: "node-image",
    inputs: {
      agent: await readFile(parts.agent),
      runtime: await readFile(parts.runtime),
      reseedAddon: await readFile(parts.reseedAddon),
      node: node.directory,
      packages: packages.map(({ name, version }) => `${name} ${version}`).join("\n"),
      etc: JSON.stringify(etc),
      layout: JSON.stringify([2, unwanted, emptyDirectories]),
    },
    async build(directory) {
      const root = join(directory, "root");
      for (const name of emptyDirectories) await mkdir(join(root, name), { recursive: true });
      for (const name of ["bin", "sbin", "lib"]) await symlink(`usr/${name}`, join(root, name));
      await unpackForArm(packages, root);
      for (const name of unwanted) await rm(join(root, name), { recursive: true, force: true });
      await rename(join(root, "usr/bin/busybox"), join(root, "usr/bin/sh"));
      for (const [name, text] of Object.entries(etc)) await writeFile(join(root, "etc", name), text);
      await install(parts, join(node.directory, "node"), root);
      await makeErofs(root, join(directory, "rootfs.erofs"));
      await rm(root, { recursive: true });
    },
  });
}

async function install(parts: RuntimeParts, node: string, root: string): Promise<void> {
  await copyFile(node, join(root, "usr/bin/node"));
  await copyFile(parts.agent, join(root, "usr/sbin/init"));
  const runtime = join(root, "opt/firn/runtime");
  await copyFile(parts.runtime, join(runtime, "runtime.js"));
  await copyFile(parts.reseedAddon, join(runtime, "reseed.node"));
  await writeFile(join(runtime, "package.json"), '{"type":"module"}\n');
}

// Nothing of the builder's gets into the image: no user, no time, no random identifier, no permissions of its umask.
async function makeErofs(root: string, image: string): Promise<void> {
  await run("chmod", ["-R", "u=rwX,go=rX", root]);
  const uuid = "6669726e-0000-4000-8000-000000000001";
  await run("mkfs.erofs", ["--quiet", "--all-root", "-T0", "-x-1", `-U${uuid}`, image, root]);
}
