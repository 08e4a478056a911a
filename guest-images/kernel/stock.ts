import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Artefact, artefact } from "../../setup/cache.ts";
import { type CpioEntry, modes, packCpio } from "../../setup/cpio.ts";
import { resolveForArm, unpackForArm } from "../../setup/debian.ts";
import { unpackDebianKernel } from "../../setup/debian-kernel.ts";
import { loadModules } from "../../setup/kernel-modules.ts";

// What Debian's kernel has as modules and a Firn guest is made of.
const modules = [
  ...["virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng", "virtio_balloon"],
  ...["vmw_vsock_virtio_transport", "erofs", "overlay"],
];

const init = join(import.meta.dirname, "stock-init");

/**
 * Debian's stock kernel as a guest kernel. It knows neither its disks nor vsock before modules are loaded, so it needs the
 * initrd: `initrd` in the artefact, which loads them and hands over to the root file system on the first disk.
 */
export async function buildStockKernel(): Promise<Artefact & { kernel: string }> {
  const kernel = await unpackDebianKernel("cloud-arm64");
  const [busybox] = (await resolveForArm(["busybox-static"])).filter(({ name }) => name === "busybox-static");
  const script = await readFile(init);
  const initrd = await artefact({
    kind: "stock-initrd",
    inputs: { kernel: kernel.directory, busybox: busybox?.version ?? "", script, modules: modules.join(" ") },
    async build(directory) {
      const unpacked = join(directory, "busybox");
      await unpackForArm(busybox === undefined ? [] : [busybox], unpacked);
      const loaded = await loadModules(join(kernel.directory, "modules"), modules);
      const folders = ["bin", "dev", "proc", "root", "modules"];
      const entries: CpioEntry[] = folders.map((path) => ({ path, mode: modes.directory }));
      entries.push(
        { path: "init", mode: modes.program, data: script },
        { path: "bin/busybox", mode: modes.program, data: await readFile(join(unpacked, "bin/busybox")) },
        { path: "modules/order", mode: modes.file, data: loaded.map(({ name }) => name).join("\n") },
      );
      for (const { name, bytes } of loaded)
        entries.push({ path: `modules/${name}.ko`, mode: modes.file, data: bytes });
      await writeFile(join(directory, "initrd"), packCpio(entries));
    },
  });
  return { ...initrd, kernel: join(kernel.directory, "Image") };
}
