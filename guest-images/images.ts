import { join } from "node:path";
import { buildFirnKernel } from "./kernel/build.ts";
import { buildStockKernel } from "./kernel/stock.ts";
import { buildNodeImage, type RuntimeParts } from "./node/build.ts";

/** A kernel to boot guests with. */
export interface GuestKernel {
  image: string;
  /** Where the kernel cannot mount its root file system by itself. */
  initrd?: string;
}

/** What a Node.js guest boots from. */
export interface RuntimeImage {
  kernel: string;
  rootfs: string;
}

/** Firn's own kernel, or Debian's as it is in the archive; built or fetched where it is missing. */
export async function kernelPath(which: "firn" | "debian"): Promise<GuestKernel> {
  if (which === "firn") return { image: join((await buildFirnKernel()).directory, "Image") };
  const { kernel, directory } = await buildStockKernel();
  return { image: kernel, initrd: join(directory, "initrd") };
}

/** Kernel and root file system of Node.js guests, built where they are missing. */
export async function buildRuntimeImage(parts: RuntimeParts): Promise<RuntimeImage> {
  const { image } = await kernelPath("firn");
  const { directory } = await buildNodeImage(parts);
  return { kernel: image, rootfs: join(directory, "rootfs.erofs") };
}
