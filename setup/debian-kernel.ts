import { copyFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Artefact, artefact } from "./cache.ts";
import { resolveForArm, unpackForArm } from "./debian.ts";
import { SetupError } from "./errors.ts";

/** Debian's two kernels for 64-bit ARM: the small one for clouds, and the one for all machines, which has 9p. */
export type DebianKernelFlavour = "cloud-arm64" | "arm64";

/**
 * A kernel of Debian's for ARM, unpacked. The artefact holds `Image`, which is a raw kernel image as Debian ships it,
 * `modules/` and `release`.
 */
export async function unpackDebianKernel(flavour: DebianKernelFlavour): Promise<Artefact> {
  const metapackage = `linux-image-6.12-${flavour}`;
  const resolved = await resolveForArm([metapackage]);
  const kernel = resolved.find(
    ({ name }) => name.startsWith("linux-image-") && name.endsWith(`-${flavour}`) && name !== metapackage,
  );
  if (kernel === undefined) {
    const message = `The Debian package ${metapackage} names no kernel. Run \`apt-get update\` and try again.`;
    throw new SetupError("PACKAGE_UNKNOWN", message);
  }
  return artefact({
    kind: "debian-kernel",
    inputs: { package: `${kernel.name} ${kernel.version}` },
    async build(directory) {
      const root = join(directory, "package");
      await unpackForArm([kernel], root);
      const [release] = await readdir(join(root, "lib/modules"));
      await copyFile(join(root, "boot", `vmlinuz-${release}`), join(directory, "Image"));
      await rename(join(root, "lib/modules", release ?? ""), join(directory, "modules"));
      await writeFile(join(directory, "release"), `${release}\n`);
      await rm(root, { recursive: true });
    },
  });
}
