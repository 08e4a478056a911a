import { describe, expect, it } from "vitest";
import { judgeVmm, vmmTables } from "./judge-vmm.ts";
import { parseVmmReport, type Restore, type VmmReport } from "./vmm-report.ts";

const restore = (name: string, doorbellUs: number): Restore => ({
  ...{ case: name, memoryMib: 128, vcpus: 1, layers: 1, prepared: false },
  ...{
    responseUs: 1,
    doorbellUs,
    roundUs: doorbellUs * 2,
    timesOneLayer: { doorbell: doorbellUs / 1000, round: doorbellUs / 1000 },
    firstRunUs: doorbellUs / 2,
    firstInstructionUs: doorbellUs / 1.5,
    kvmExits: 2,
    mmioExits: 1,
    minorFaults: 1,
  },
  ...{ bytesCopied: 0, bytesMapped: 0, loadCalls: 0, phasesUs: {} },
});

const report: VmmReport = {
  rounds: 9,
  floor: [
    {
      ...{ vcpus: 1, createUs: 300, registersUs: 50, allRegistersUs: 500, runUs: 150 },
      ...{ bootUs: 500, restoreUs: 1000, repeatedBootUs: 400, repeatedRestoreUs: 800 },
    },
  ],
  restore: [
    restore("prepared, nothing on top", 300),
    restore("prepared with a working set, nothing on top", 270),
    restore("base alone", 1020),
    restore("three layers", 1050),
    restore("three layers as one", 1000),
  ],
  calls: [
    {
      case: "base alone",
      memoryMib: 128,
      vcpus: 1,
      systemCalls: 9,
      ioctls: 8,
      byName: {},
      ioctlsByName: { KVM_SET_ONE_REG: 7 },
    },
  ],
  snapshot: [],
  memory: {
    ...{ preparedOwnBytes: 400_000, preparedGuestBytes: 0, cloneOwnBytes: 500_000, cloneGuestBytes: 9 },
    ...{ cloneWrittenBytes: 5, cloneCopiedBytes: 4, clonePrivateBytes: 500_009, overWrittenBytes: 500_004 },
  },
  clones: [
    {
      ...{ count: 50, allAnsweredUs: 9000, ownBytes: 6_000_000, guestBytes: 1 },
      ...{ preparedAllAnsweredUs: 4000, preparedOwnBytes: 2, preparedGuestBytes: 3 },
    },
  ],
};

describe("judgeVmm", () => {
  it("judgeVmm() says which bars hold, with the figures behind them", () => {
    expect(judgeVmm(report).map(({ measured, held }) => [measured, held])).toEqual([
      [0.18, true],
      [0.15, true],
      [0.3, false],
      [0.3, false],
      [1.05, true],
      [1.05, true],
      [6_000_000, false],
      [500_004, true],
    ]);
    expect(judgeVmm(report)[0]?.from).toContain("180 µs");
    expect(judgeVmm(report)[4]?.from).toBe("1050 µs, 1000 µs; another single layer: 1.02 times");
  });

  it("judgeVmm() throws when a figure that a bar needs is missing", () => {
    expect(() => judgeVmm({ ...report, restore: [] })).toThrow("prepared, nothing on top");
  });
});

describe("vmmTables", () => {
  it("vmmTables() has a cell for every column", () => {
    for (const { header, rows } of vmmTables(report)) {
      for (const row of rows) expect(row).toHaveLength(header.length);
    }
  });
});

describe("parseVmmReport", () => {
  it("parseVmmReport() finds the report behind other lines", () => {
    expect(parseVmmReport(`{"rounds":1}\nnoise\n${JSON.stringify(report)}\n`)).toEqual(report);
    expect(() => parseVmmReport("nothing")).toThrow("no report");
  });
});
