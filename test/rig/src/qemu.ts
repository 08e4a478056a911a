import type { GicVersion, RigCpu } from "./profile.ts";
import type { Share } from "./shares.ts";

/** What differs between one start of QEMU and another. */
export interface MachineOptions {
  name: string;
  gic: GicVersion;
  cpu: RigCpu;
  memoryMiB: number;
  kernel: string;
  initrd: string;
  root: string;
  /** The disk that keeps what is under /var/lib/firn, if the rig has one. */
  data?: string | undefined;
  console: string;
  monitor: string;
  /** Directories of the host, in the order of their tags. */
  shares: readonly Share[];
  /** Pairs of host port and guest port. */
  forwards: readonly (readonly [number, number])[];
}

export const emulator = "qemu-system-aarch64";

/** The tag under which the rig mounts the share with this number. */
export const shareTag = (index: number): string => `share${index}`;

/** The arguments of an emulated ARM machine on which KVM works. */
export function machineArguments(options: MachineOptions): string[] {
  const forwards = options.forwards.map(([host, guest]) => `hostfwd=tcp:127.0.0.1:${host}-:${guest}`);
  const args = [
    ["-name", `firn-rig-${options.name}`],
    ["-M", `virt,virtualization=on,gic-version=${options.gic}`],
    // With an algorithm of QEMU's own for pointer authentication, which is many times faster than the architecture's.
    ["-cpu", options.cpu === "max" ? "max,pauth-impdef=on" : options.cpu],
    ["-accel", "tcg,thread=multi,tb-size=1024"],
    ["-smp", "2"],
    ["-m", `${options.memoryMiB}`],
    ["-nodefaults", "-no-user-config", "-no-reboot"],
    ["-display", "none"],
    ["-serial", `file:${options.console}`],
    ["-qmp", `unix:${options.monitor},server=on,wait=off`],
    ["-kernel", options.kernel],
    ["-initrd", options.initrd],
    // Mitigations protect nothing in an emulation and cost a good part of its speed. Page tables of its own for the kernel, which
    // randomizing its address forces on, make QEMU forget translations at each system call: it takes thirty times as long.
    [
      "-append",
      "console=ttyAMA0 quiet loglevel=4 panic=-1 mitigations=off kpti=off random.trust_bootloader=on",
    ],
    // Writes go to an unnamed temporary file: the image stays as it was built, whatever happens.
    ["-drive", `if=none,id=root,format=raw,cache=unsafe,snapshot=on,file=${options.root}`],
    ["-device", "virtio-blk-pci,drive=root"],
    ...(options.data === undefined ? [] : dataDisk(options.data)),
    ["-device", "virtio-rng-pci"],
    // The rig reaches nothing but the ports forwarded to it.
    ["-netdev", ["user,id=net,restrict=on", ...forwards].join(",")],
    ["-device", "virtio-net-pci,netdev=net,romfile="],
    ...options.shares.flatMap((share, index) => sharedDirectory(share, shareTag(index))),
  ];
  return args.flat();
}

// 9p and not virtiofs: a virtiofs daemon writes the rig's memory behind QEMU's back, and an emulator that is not told of a write
// goes on running what it once translated from that page.
function sharedDirectory({ path, writable }: Share, tag: string): string[][] {
  const access = writable ? "" : ",readonly=on";
  return [
    ["-fsdev", `local,id=${tag},path=${path},security_model=none,multidevs=remap${access}`],
    ["-device", `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`],
  ];
}

function dataDisk(file: string): string[][] {
  return [
    ["-drive", `if=none,id=data,format=raw,cache=writeback,discard=unmap,file=${file}`],
    ["-device", "virtio-blk-pci,drive=data"],
  ];
}
