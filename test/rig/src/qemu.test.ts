import { describe, expect, it } from "vitest";
import { machineArguments } from "./qemu.ts";

describe("machineArguments()", () => {
  const args = machineArguments({
    name: "gic2",
    gic: 2,
    cpu: "max",
    memoryMiB: 2048,
    kernel: "/k",
    initrd: "/i",
    root: "/r",
    console: "/c",
    monitor: "/m",
    shares: [
      { path: "/s0", writable: true },
      { path: "/s1", writable: false },
    ],
    forwards: [[2222, 22]],
  });
  const line = args.join(" ");

  it("gives the machine EL2, and the interrupt controller and the CPU asked for", () => {
    expect(line).toContain("virt,virtualization=on,gic-version=2 -cpu max,");
  });

  it("never writes to the root image", () => {
    expect(args.filter((argument) => argument.includes("file=/r"))).toEqual([
      expect.stringContaining("snapshot=on"),
    ]);
  });

  it("has a device for every share, and listens on the loopback alone", () => {
    expect(args.filter((argument) => argument.startsWith("virtio-9p-pci"))).toHaveLength(2);
    expect(args.filter((argument) => argument.endsWith("readonly=on"))).toEqual([
      expect.stringContaining("path=/s1"),
    ]);
    expect(line).toContain("hostfwd=tcp:127.0.0.1:2222-:22");
  });
});
