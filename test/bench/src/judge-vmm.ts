import type { Floor, Restore, VmmReport } from "./vmm-report.ts";

/** A bar of the design, and what was measured against it. */
export interface Verdict {
  promise: string;
  /** What may not be exceeded. */
  bar: number;
  measured: number;
  unit: "times" | "bytes";
  held: boolean;
  /** The figures behind it. */
  from: string;
}

/** The names of the cases in `crates/vmm/benches/vmm/restore.rs`. */
const nothingToCopy = "prepared, nothing on top";
const nothingToCopyOrFault = "prepared with a working set, nothing on top";
const baseAlone = "base alone";
const threeLayers = "three layers";
const threeAsOne = "three layers as one";
const MIB = 1 << 20;

/** Judges a report by the bars of the design that concern the VMM. */
export function judgeVmm(report: VmmReport): Verdict[] {
  const small = { memoryMib: 128, vcpus: 1 };
  const pooled = restoreOf(report, nothingToCopy, small);
  const ready = restoreOf(report, nothingToCopyOrFault, small);
  const floor = floorOf(report, 1);
  const chain = restoreOf(report, threeLayers, small);
  const flat = restoreOf(report, threeAsOne, small);
  const base = restoreOf(report, baseAlone, small);
  const most = report.clones.map(({ preparedOwnBytes, ownBytes }) => Math.max(preparedOwnBytes, ownBytes));
  const own = Math.max(report.memory.preparedOwnBytes, report.memory.cloneOwnBytes, ...most);
  return [
    verdict(
      "restore to the first guest instruction, pooled with a working set and without a copy, against the KVM floor of a restore",
      [0.2, ready.firstInstructionUs / floor.restoreUs, "times"],
      `${ready.firstInstructionUs} µs, ${floor.restoreUs} µs`,
    ),
    verdict(
      "the same to the first KVM_RUN, pooled without a working set",
      [0.2, pooled.firstRunUs / floor.restoreUs, "times"],
      `${pooled.firstRunUs} µs, ${floor.restoreUs} µs`,
    ),
    verdict(
      "the same, until the controller has heard of it",
      [0.2, pooled.doorbellUs / floor.restoreUs, "times"],
      `${pooled.doorbellUs} µs, ${floor.restoreUs} µs`,
    ),
    verdict(
      "the same to the first KVM_RUN, against the KVM floor of a boot, which sets three registers",
      [0.2, pooled.firstRunUs / floor.bootUs, "times"],
      `${pooled.firstRunUs} µs, ${floor.bootUs} µs`,
    ),
    verdict(
      "chain of three layers against one",
      [1.1, chain.timesOneLayer.doorbell, "times"],
      `${chain.doorbellUs} µs, ${flat.doorbellUs} µs; another single layer: ${base.timesOneLayer.doorbell} times`,
    ),
    verdict(
      "the same, until the guest has written to what the upper two layers hold",
      [1.1, chain.timesOneLayer.round, "times"],
      `${chain.roundUs} µs, ${flat.roundUs} µs; another single layer: ${base.timesOneLayer.round} times`,
    ),
    verdict("the VMM's own private memory", [5 * MIB, own, "bytes"], "the largest of all processes"),
    verdict(
      "private memory of an idle clone over the bytes that it wrote",
      [MIB, report.memory.overWrittenBytes, "bytes"],
      `${report.memory.clonePrivateBytes} bytes private, ${report.memory.cloneWrittenBytes} written`,
    ),
  ];
}

/** Rows for a terminal: a title and a table each, its first row the header. Times are multiples of the KVM floor of a restore. */
export function vmmTables(report: VmmReport): { title: string; header: string[]; rows: string[][] }[] {
  const ratio = (us: number, vcpus: number) => (us / floorOf(report, vcpus).restoreUs).toFixed(2);
  return [
    {
      title:
        "KVM floor in a process of its own, µs: create VM, vCPUs, interrupt controller; set registers; run an empty guest",
      header: [
        ...["vCPUs", "create", "a boot's registers", "all registers", "run", "boot", "restore"],
        ...["repeated boot", "repeated restore"],
      ],
      rows: report.floor.map((floor) =>
        [
          ...[floor.vcpus, floor.createUs, floor.registersUs, floor.allRegistersUs, floor.runUs],
          ...[floor.bootUs, floor.restoreUs, floor.repeatedBootUs, floor.repeatedRestoreUs],
        ].map(String),
      ),
    },
    {
      title: "Restore, multiples of the KVM floor of as many vCPUs",
      header: [
        "case",
        "MiB",
        "vCPUs",
        "layers",
        "first run",
        "instruction",
        "doorbell",
        "doorbell µs",
        "round",
        "of one layer",
        "exits",
        "copied",
        "load calls",
      ],
      rows: report.restore.map((restore) => [
        restore.case,
        ...[restore.memoryMib, restore.vcpus, restore.layers].map(String),
        ratio(restore.firstRunUs, restore.vcpus),
        ratio(restore.firstInstructionUs, restore.vcpus),
        ratio(restore.doorbellUs, restore.vcpus),
        String(restore.doorbellUs),
        ratio(restore.roundUs, restore.vcpus),
        restore.timesOneLayer.doorbell.toFixed(2),
        ...[restore.kvmExits, restore.bytesCopied, restore.loadCalls].map(String),
      ]),
    },
    {
      title: "System calls of a restore, from the request to the guest's first KVM_RUN",
      header: [
        "case",
        "MiB",
        "vCPUs",
        "system calls",
        "of these ioctls",
        "set a register",
        "set an attribute",
      ],
      rows: report.calls.map(({ case: name, memoryMib, vcpus, systemCalls, ioctls, ioctlsByName }) => [
        name,
        ...[memoryMib, vcpus, systemCalls, ioctls, ioctlsByName.KVM_SET_ONE_REG ?? 0].map(String),
        String(ioctlsByName.KVM_SET_DEVICE_ATTR ?? 0),
      ]),
    },
    {
      title: "Snapshot, multiples of the KVM floor",
      header: ["MiB", "vCPUs", "layer", "time", "compared", "data", "extents", "layer file", "state file"],
      rows: report.snapshot.map((cost) => [
        ...[cost.memoryMib, cost.vcpus, cost.layers].map(String),
        ratio(cost.us, cost.vcpus),
        ...[cost.candidateBytes, cost.dataBytes, cost.extents, cost.layerFileBytes, cost.stateFileBytes].map(
          String,
        ),
      ]),
    },
    {
      title: "Clones at once: multiples of the KVM floor until all run; most private bytes of one",
      header: ["clones", "time", "prepared", "VMM", "guest", "prepared VMM", "prepared guest"],
      rows: report.clones.map((clones) => [
        String(clones.count),
        ratio(clones.allAnsweredUs, 1),
        ratio(clones.preparedAllAnsweredUs, 1),
        ...[clones.ownBytes, clones.guestBytes, clones.preparedOwnBytes, clones.preparedGuestBytes].map(
          String,
        ),
      ]),
    },
  ];
}

function verdict(
  promise: string,
  [bar, measured, unit]: readonly [number, number, Verdict["unit"]],
  from: string,
): Verdict {
  return { promise, bar, measured, unit, held: measured <= bar, from };
}

function restoreOf(
  report: VmmReport,
  name: string,
  { memoryMib, vcpus }: { memoryMib: number; vcpus: number },
): Restore {
  const found = report.restore.find(
    (restore) => restore.case === name && restore.memoryMib === memoryMib && restore.vcpus === vcpus,
  );
  if (found === undefined)
    throw new Error(`The report has no "${name}" of ${memoryMib} MiB and ${vcpus} vCPUs.`);
  return found;
}

function floorOf(report: VmmReport, vcpus: number): Floor {
  const found = report.floor.find((floor) => floor.vcpus === vcpus);
  if (found === undefined) throw new Error(`The report has no KVM floor of ${vcpus} vCPUs.`);
  return found;
}
