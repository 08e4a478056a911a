import { join } from "node:path";
import { buildRuntimes } from "./builder/runtimes.ts";
import { buildFirnKernel } from "./kernel/build.ts";
import { buildStockKernel } from "./kernel/stock.ts";
import type { RuntimeParts } from "./runtimes/definition.ts";

/** A kernel to boot guests with. */
export interface GuestKernel {
  image: string;
  /** Where the kernel cannot mount its root file system by itself. */
  initrd?: string;
  cached: boolean;
}

/** What guests boot from. */
export interface GuestImages {
  kernel: string;
  /** A folder with a folder for each runtime. */
  runtimes: string;
  cached: boolean;
}

/** The runtime of a function that names none, and of tests to which it does not matter. */
export const defaultRuntime = "node24";

/** Firn's own kernel, or Debian's as it is in the archive; built or fetched where it is missing. */
export async function kernelPath(which: "firn" | "debian"): Promise<GuestKernel> {
  if (which === "firn") {
    const { directory, cached } = await buildFirnKernel();
    return { image: join(directory, "Image"), cached };
  }
  const { kernel, directory, cached } = await buildStockKernel();
  return { image: kernel, initrd: join(directory, "initrd"), cached };
}

/**
 * Kernel and runtimes of guests, built where they are missing.
 *
 * @param more A folder with a folder for each further runtime.
 */
export async function buildGuestImages(parts: RuntimeParts, more?: string): Promise<GuestImages> {
  const { image } = await kernelPath("firn");
  const { directory, cached } = await buildRuntimes(parts, more);
  return { kernel: image, runtimes: directory, cached };
}
