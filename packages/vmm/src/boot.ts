import { FirnVmmError } from "./errors.ts";
import type { Microvm } from "./microvm.ts";
import { startMicrovm } from "./start.ts";

/** What {@link bootMicrovm} takes. */
export interface BootOptions {
  /** Kernel: an arm64 Image, uncompressed. */
  kernelPath: string;
  /** Initial RAM disk. */
  initrdPath?: string | undefined;
  /** Root file system, /dev/vda, read-only. */
  rootDiskPath: string;
  /** App image, /dev/vdb, read-only. */
  appDiskPath?: string | undefined;
  /** Guest memory in bytes, 128 MiB to 8 GiB, a multiple of 2 MiB. */
  memoryBytes: number;
  /** Virtual CPUs, 1 to 8; 1 by default. */
  vcpus?: number | undefined;
  /** Version of the interrupt controller; the newest that the host has by default. */
  gic?: 2 | 3 | undefined;
  /** Kernel command line; by default for an erofs root disk, with console output only where it is read. */
  commandLine?: string | undefined;
  /** Appended to the command line. */
  kernelParameters?: readonly string[] | undefined;
  /** Whether `console` of the microVM is wanted; no by default. */
  console?: boolean | undefined;
  /** Whether writes are recorded for `writtenRanges`; slow, for tests. */
  trackWrites?: boolean | undefined;
  /** Ends the start, not the microVM. */
  signal?: AbortSignal | undefined;
}

/**
 * Boots a kernel in a new process.
 *
 * @returns the microVM when its vCPUs run.
 * @throws {FirnVmmError} FIRN_PLATFORM_UNSUPPORTED, FIRN_VMM_BINARY_MISSING, FIRN_KVM_UNAVAILABLE, FIRN_IO for a missing file,
 * FIRN_KERNEL, FIRN_CONFIG, FIRN_ABORTED and others.
 *
 * @example
 * ```ts
 * await using microvm = await bootMicrovm({ kernelPath: "Image", rootDiskPath: "root.erofs", memoryBytes: 256 << 20 });
 * console.log(await microvm.waitForDoorbell());
 * ```
 */
export async function bootMicrovm(options: BootOptions): Promise<Microvm> {
  const { kernelPath, initrdPath, rootDiskPath, appDiskPath, memoryBytes, gic, signal } = options;
  const { vcpus = 1, console = false, trackWrites = false, kernelParameters = [] } = options;
  requireWhole("memoryBytes", memoryBytes, Number.MAX_SAFE_INTEGER);
  requireWhole("vcpus", vcpus, 255);
  const native = {
    kernelPath,
    rootDiskPath,
    memoryBytes,
    vcpus,
    console,
    trackWrites,
    commandLine: [options.commandLine ?? defaultCommandLine(console), ...kernelParameters].join(" "),
    ...(initrdPath === undefined ? {} : { initrdPath }),
    ...(appDiskPath === undefined ? {} : { appDiskPath }),
    ...(gic === undefined ? {} : { gic }),
  };
  return startMicrovm({
    what: "The boot",
    signal,
    initialBytes: undefined,
    send: (vmm, id) => vmm.boot(id, native),
  });
}

function defaultCommandLine(console: boolean): string {
  return `${console ? "console=ttyS0 " : ""}quiet panic=-1 root=/dev/vda rootfstype=erofs ro`;
}

// The native side converts numbers as C does, modulo their width.
function requireWhole(name: string, value: number, max: number): void {
  if (Number.isInteger(value) && value > 0 && value <= max) return;
  throw new FirnVmmError(
    "FIRN_VMM_OPTIONS",
    `${name} is ${value}: expected a whole number from 1 to ${max}.`,
  );
}
