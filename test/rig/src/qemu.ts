import type { GicVersion } from "./state.ts";

/** What differs between one start of QEMU and another. */
export interface MachineOptions {
  name: string;
  gic: GicVersion;
  memoryMiB: number;
  kernel: string;
  initrd: string;
  root: string;
  console: string;
  monitor: string;
  /** Sockets of the virtiofs daemons, in the order of their tags. */
  shares: readonly string[];
  /** Pairs of host port and guest port. */
  forwards: readonly (readonly [number, number])[];
}

export const emulator = "qemu-system-aarch64";

/** The tag under which the rig mounts the share with this number. */
export const shareTag = (index: number): string => `share${index}`;

/** The arguments of an emulated ARM machine on which KVM works. */
export function machineArguments(options: MachineOptions): string[] {
  const memory = `memory-backend-memfd,id=memory,size=${options.memoryMiB}M,share=on`;
  const forwards = options.forwards.map(([host, guest]) => `hostfwd=tcp:127.0.0.1:${host}-:${guest}`);
  const args = [
    ["-name", `firn-rig-${options.name}`],
    ["-M", `virt,virtualization=on,gic-version=${options.gic},memory-backend=memory`],
    ["-cpu", "cortex-a76"],
    ["-accel", "tcg,thread=multi,tb-size=1024"],
    ["-smp", "2"],
    ["-m", `${options.memoryMiB}`],
    // virtiofs shares the guest's memory with its daemons.
    ["-object", memory],
    ["-nodefaults", "-no-user-config", "-no-reboot"],
    ["-display", "none"],
    ["-serial", `file:${options.console}`],
    ["-qmp", `unix:${options.monitor},server=on,wait=off`],
    ["-kernel", options.kernel],
    ["-initrd", options.initrd],
    // Mitigations protect nothing in an emulation and cost a good part of its speed.
    ["-append", "console=ttyAMA0 quiet loglevel=4 panic=-1 mitigations=off random.trust_bootloader=on"],
    // Writes go to an unnamed temporary file: the image stays as it was built, whatever happens.
    ["-drive", `if=none,id=root,format=raw,cache=unsafe,snapshot=on,file=${options.root}`],
    ["-device", "virtio-blk-pci,drive=root"],
    ["-device", "virtio-rng-pci"],
    // The rig reaches nothing but the ports forwarded to it.
    ["-netdev", ["user,id=net,restrict=on", ...forwards].join(",")],
    ["-device", "virtio-net-pci,netdev=net,romfile="],
    ...options.shares.flatMap((socket, index) => [
      ["-chardev", `socket,id=${shareTag(index)},path=${socket}`],
      ["-device", `vhost-user-fs-pci,chardev=${shareTag(index)},tag=${shareTag(index)},queue-size=1024`],
    ]),
  ];
  return args.flat();
}
