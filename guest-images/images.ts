import { join } from "node:path";
import { buildFirnKernel } from "./kernel/build.ts";
import { buildStockKernel } from "./kernel/stock.ts";
import { buildNodeImage, type RuntimeParts } from "./node/build.ts";

/** A kernel to boot guests with. */
export interface GuestKernel {
  image: string;
  /** Where the kernel cannot mount its root file system by itself. */
  initrd?: string;
  cached: boolean;
}

/** What a Node.js guest boots from. */
export interface RuntimeImage {
  kernel: string;
  rootfs: string;
  cached: boolean;
}

/** Firn's own kernel, or Debian's as it is in the archive; built or fetched where it is missing. */
export async function kernelPath(which: "firn" | "debian"): Promise<GuestKernel> {
  if (which === "firn") {
    const { directory, cached } = await buildFirnKernel();
    return { image: join(directory, "Image"), cached };
  }
  const { kernel, directory, cached } = await buildStockKernel();
  return { image: kernel, initrd: join(directory, "initrd"), cached };
}

/** Kernel and root file system of Node.js guests, built where they are missing. */
export async function buildRuntimeImage(parts: RuntimeParts): Promise<RuntimeImage> {
  const { image } = await kernelPath("firn");
  const { directory, cached } = await buildNodeImage(parts);
  return { kernel: image, rootfs: join(directory, "rootfs.erofs"), cached };
}
