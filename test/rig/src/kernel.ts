import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildKernel } from "../../../guest-images/kernel/build.ts";
import { artefact } from "../../../setup/cache.ts";
import { type CpioEntry, modes, packCpio } from "../../../setup/cpio.ts";
import { resolveForArm, unpackForArm } from "../../../setup/debian.ts";
import type { RigImage } from "./image.ts";

const files = join(import.meta.dirname, "..", "files");

/**
 * A kernel with pages of 16 KiB, which Debian has none of, with an initial RAM disk to go with it. The root file system is that of
 * every rig.
 */
export async function build16kKernel(): Promise<Pick<RigImage, "kernel" | "initrd" | "cached">> {
  const kernel = await buildKernel("rig-kernel", join(files, "kernel-16k.config"));
  const [busybox] = (await resolveForArm(["busybox-static"])).filter(({ name }) => name === "busybox-static");
  const script = await readFile(join(files, "initrd-init"));
  const initrd = await artefact({
    kind: "rig-initrd",
    inputs: { busybox: busybox?.version ?? "", script },
    async build(directory) {
      const unpacked = join(directory, "busybox");
      await mkdir(unpacked);
      await unpackForArm(busybox === undefined ? [] : [busybox], unpacked);
      const folders = ["bin", "dev", "root", "rig", "modules"];
      const entries: CpioEntry[] = folders.map((path) => ({ path, mode: modes.directory }));
      entries.push(
        { path: "init", mode: modes.program, data: script },
        { path: "bin/busybox", mode: modes.program, data: await readFile(join(unpacked, "bin/busybox")) },
        { path: "modules/order", mode: modes.file, data: "" },
      );
      await writeFile(join(directory, "initrd"), packCpio(entries));
    },
  });
  return {
    kernel: join(kernel.directory, "Image"),
    initrd: join(initrd.directory, "initrd"),
    cached: kernel.cached && initrd.cached,
  };
}
