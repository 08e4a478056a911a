import { describe, expect, it } from "vitest";
import { LogLimit } from "./log-limit.ts";

describe("LogLimit", () => {
  it("admits a burst, then as much as a second allows, and counts what it drops", () => {
    let now = 0;
    const limit = new LogLimit(() => now);
    const bytes = 1024 * 1024 - 256;
    const print = (lines: number) => Array.from({ length: lines }, () => limit.admits(bytes));
    expect(print(6)).toEqual([true, true, true, true, false, false]);
    expect([limit.takeDropped(), limit.takeDropped()]).toEqual([2, 0]);
    now = 2000;
    expect(print(3)).toEqual([true, true, false]);
    now = 1_000_000;
    expect(print(5)).toEqual([true, true, true, true, false]);
    expect(limit.takeDropped()).toBe(2);
  });

  it("counts empty lines, too", () => {
    const limit = new LogLimit(() => 0);
    const admitted = Array.from({ length: 20_000 }, () => limit.admits(0)).filter(Boolean).length;
    expect([admitted, limit.takeDropped()]).toEqual([16_384, 20_000 - 16_384]);
  });
});
