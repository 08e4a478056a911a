import { chmod, copyFile, cp, mkdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { artefact } from "../../../setup/cache.ts";
import { run } from "../../../setup/command.ts";
import { type CpioEntry, modes, packCpio } from "../../../setup/cpio.ts";
import { resolveForArm, unpackForArm } from "../../../setup/debian.ts";
import { unpackDebianKernel } from "../../../setup/debian-kernel.ts";
import { loadModules } from "../../../setup/kernel-modules.ts";
import { repository } from "../../../setup/machine.ts";
import { fetchNodeForArm } from "../../../setup/node-for-arm.ts";
import { build16kKernel } from "./kernel.ts";
import type { PageKiB } from "./profile.ts";

const wantedPackages = [
  "bash",
  "busybox-static",
  "coreutils",
  "dropbear-bin",
  "erofs-utils",
  "iproute2",
  "libatomic1",
  "libstdc++6",
  "mount",
  "procps",
  "strace",
  "util-linux",
];

// Only maintainer scripts need these, and none runs: packages are unpacked, not installed.
const unneeded =
  /^(lib)?perl|-perl$|^(usrmerge|dpkg|debconf|mawk|debianutils|init-system-helpers|libgdbm.*|libdb5.3)$/;

// What Debian's kernel has as modules and a host of microVMs needs.
const modules = [
  // A checksum that ext4 and erofs look up by name.
  "crc32c_generic",
  ...["virtio_blk", "virtio_net", "virtio_rng", "ext4", "9p", "9pnet_virtio"],
  ...["erofs", "loop", "overlay", "tun"],
];

// Where Debian has a program of its own but its package is not wanted, busybox stands in. Its `sh` starts at once, which
// matters: every command that the host sends goes through it.
const applets = [
  ...[
    "awk",
    "clear",
    "cmp",
    "cpio",
    "diff",
    "du",
    "find",
    "grep",
    "gunzip",
    "gzip",
    "hexdump",
    "hostname",
    "insmod",
  ],
  ...[
    "less",
    "lsmod",
    "nc",
    "pgrep",
    "ping",
    "poweroff",
    "reboot",
    "rmmod",
    "sed",
    "sh",
    "tar",
    "time",
    "top",
  ],
  ...["unzip", "usleep", "vi", "wget", "which", "xargs", "xxd"],
];

const sizeMiB = 8192;
const files = join(import.meta.dirname, "..", "files");

/** What an ARM host starts from. Nothing ever writes to it. */
export interface RigImage {
  kernel: string;
  initrd: string;
  root: string;
  cached: boolean;
}

/** The image of the ARM host, with Debian's kernel or, for pages of 16 KiB, one of its own. */
export async function buildRigImage(pageKiB: PageKiB = 4): Promise<RigImage> {
  const image = await buildDebianImage();
  return pageKiB === 4 ? image : { ...image, ...(await build16kKernel()) };
}

async function buildDebianImage(): Promise<RigImage> {
  const packages = (await resolveForArm(wantedPackages)).filter(({ name }) => !unneeded.test(name));
  const kernel = await unpackDebianKernel("arm64");
  const node = await fetchNodeForArm();
  const npm = join(repository, "node_modules", "npm");
  const scripts = await Promise.all(
    ["initrd-init", "inittab", "rc", "node"].map((name) => readFile(join(files, name))),
  );
  const image = await artefact({
    kind: "rig-image",
    inputs: {
      packages: packages.map(({ name, version }) => `${name} ${version}`).join("\n"),
      kernel: kernel.directory,
      node: node.directory,
      npm: await readFile(join(npm, "package.json")),
      scripts: Buffer.concat(scripts),
      modules: modules.join(" "),
      layout: `3 ${sizeMiB}`,
    },
    async build(directory) {
      const root = join(directory, "root");
      await makeDirectories(root);
      await unpackForArm(packages, root);
      await copyFile(join(node.directory, "node"), join(root, "usr/lib/node/node"));
      await copyFile(join(files, "node"), join(root, "usr/bin/node"));
      await chmod(join(root, "usr/bin/node"), 0o755);
      await cp(npm, join(root, "usr/lib/npm"), { recursive: true });
      await symlink("../lib/npm/bin/npm-cli.js", join(root, "usr/bin/npm"));
      await configure(root);
      await writeFile(join(directory, "initrd"), await initrd(root, kernel.directory));
      await makeFileSystem(root, join(directory, "root.ext4"));
      await rm(root, { recursive: true });
    },
  });
  return {
    kernel: join(kernel.directory, "Image"),
    initrd: join(image.directory, "initrd"),
    root: join(image.directory, "root.ext4"),
    cached: image.cached,
  };
}

async function makeDirectories(root: string): Promise<void> {
  const directories = [
    "usr/bin",
    "usr/sbin",
    "usr/lib/node",
    "proc",
    "sys",
    "dev",
    "tmp",
    "run",
    "root",
    "rig",
    "etc",
    "var/lib/firn",
  ];
  for (const directory of directories) await mkdir(join(root, directory), { recursive: true });
  // The merged layout of /usr, which a maintainer script would make.
  for (const name of ["bin", "sbin", "lib"]) await symlink(`usr/${name}`, join(root, name));
}

async function configure(root: string): Promise<void> {
  const etc = join(root, "etc");
  await copyFile(join(files, "inittab"), join(etc, "inittab"));
  await copyFile(join(files, "rc"), join(etc, "rc"));
  await chmod(join(etc, "rc"), 0o755);
  await writeFile(
    join(etc, "passwd"),
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n",
  );
  await writeFile(join(etc, "group"), "root:x:0:\nnogroup:x:65534:\n");
  await writeFile(join(etc, "shells"), "/bin/sh\n");
  await writeFile(join(etc, "hosts"), "127.0.0.1 localhost\n::1 localhost\n");
  await writeFile(join(etc, "nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files\n");
  for (const applet of applets) await symlink("busybox", join(root, "usr/bin", applet)).catch(ignoreExisting);
  await symlink("../bin/busybox", join(root, "usr/sbin/init"));
}

// Debian's own programs come first.
function ignoreExisting(cause: NodeJS.ErrnoException): void {
  if (cause.code !== "EEXIST") throw cause;
}

async function initrd(root: string, kernel: string): Promise<Buffer> {
  const loaded = await loadModules(join(kernel, "modules"), modules);
  const entries: CpioEntry[] = ["bin", "dev", "root", "rig", "modules"].map((path) => ({
    path,
    mode: modes.directory,
  }));
  entries.push(
    { path: "init", mode: modes.program, data: await readFile(join(files, "initrd-init")) },
    { path: "bin/busybox", mode: modes.program, data: await readFile(join(root, "usr/bin/busybox")) },
    { path: "modules/order", mode: modes.file, data: loaded.map(({ name }) => name).join("\n") },
  );
  for (const { name, bytes } of loaded)
    entries.push({ path: `modules/${name}.ko`, mode: modes.file, data: bytes });
  return packCpio(entries);
}

async function makeFileSystem(root: string, image: string): Promise<void> {
  await writeFile(image, "");
  await truncate(image, sizeMiB * 1024 * 1024);
  const options = "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0";
  // To what fakeroot runs, an ordinary user's files look like root's. Such a user has no /sbin on the path.
  await run("fakeroot", [
    "/sbin/mkfs.ext4",
    "-q",
    "-F",
    "-O",
    "^has_journal",
    "-E",
    options,
    "-d",
    root,
    image,
  ]);
}
