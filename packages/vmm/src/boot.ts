import { type DeviceLimits, type NetOptions, nativeDeviceOptions } from "./devices.ts";
import type { JailOptions } from "./jail.ts";
import type { Microvm } from "./microvm.ts";
import { startMicrovm } from "./start.ts";
import { requireWhole } from "./whole-number.ts";

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
  /**
   * What the guest may write to, /dev/vdc: an image of a multiple of 512 bytes that no other microVM uses. Snapshots do not hold its
   * contents: a restore wants an image of the same size with the contents that this one had when the snapshot was taken.
   */
  scratchDiskPath?: string | undefined;
  /** A network card; none by default. It stays without a link if nothing is said of one. */
  net?: NetOptions | undefined;
  /**
   * Whether there is a virtio random number generator; no by default. Linux fetches bytes ahead, which are then in a snapshot and the
   * same in all its clones: have whoever reads /dev/hwrng in a clone read 1024 bytes first and discard them.
   */
  rng?: boolean | undefined;
  /**
   * Whether there is a memory balloon; no by default. Linux then gives memory back that it does not use, by itself, and as
   * `setBalloonBytes` of the microVM asks.
   */
  balloon?: boolean | undefined;
  /** How fast devices may be. */
  limits?: DeviceLimits | undefined;
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
  /** The jail of the process; by default the best that the host can give. */
  jail?: JailOptions | undefined;
  /** Ends the start, not the microVM. */
  signal?: AbortSignal | undefined;
}

/**
 * Boots a kernel in a new process.
 *
 * @returns the microVM when its vCPUs run.
 * @throws {FirnVmmError} FIRN_PLATFORM_UNSUPPORTED, FIRN_VMM_BINARY_MISSING, FIRN_KVM_UNAVAILABLE, FIRN_IO for a missing file,
 * FIRN_KERNEL, FIRN_CONFIG, FIRN_JAIL_UNAVAILABLE, FIRN_ABORTED and others.
 *
 * @example
 * ```ts
 * await using microvm = await bootMicrovm({ kernelPath: "Image", rootDiskPath: "root.erofs", memoryBytes: 256 << 20 });
 * console.log(await microvm.waitForDoorbell());
 * ```
 */
export async function bootMicrovm(options: BootOptions): Promise<Microvm> {
  const { kernelPath, initrdPath, rootDiskPath, appDiskPath, memoryBytes, gic, jail, signal } = options;
  const { vcpus = 1, console = false, rng = false, balloon = false, kernelParameters = [] } = options;
  requireWhole("memoryBytes", memoryBytes, 1);
  requireWhole("vcpus", vcpus, 1, 255);
  const native = {
    kernelPath,
    rootDiskPath,
    memoryBytes,
    vcpus,
    console,
    rng,
    balloon,
    ...nativeDeviceOptions(options),
    commandLine: [options.commandLine ?? defaultCommandLine(console), ...kernelParameters].join(" "),
    ...(initrdPath === undefined ? {} : { initrdPath }),
    ...(appDiskPath === undefined ? {} : { appDiskPath }),
    ...(gic === undefined ? {} : { gic }),
  };
  return startMicrovm({
    what: "The boot",
    jail,
    signal,
    initialBytes: undefined,
    send: (vmm, id) => vmm.boot(id, native),
  });
}

function defaultCommandLine(console: boolean): string {
  return `${console ? "console=ttyS0 " : ""}quiet panic=-1 root=/dev/vda rootfstype=erofs ro`;
}
