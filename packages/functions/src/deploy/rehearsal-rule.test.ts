import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { getsFaster } from "./rehearsal-rule.ts";

/** After how many rounds a function with these latencies is done. */
function roundsOf(latencies: readonly number[]): number {
  const index = latencies.findIndex((_, last) => !getsFaster(latencies.slice(0, last + 1)));
  return index < 0 ? latencies.length : index + 1;
}

describe("getsFaster()", () => {
  it("says so before there is something to compare", () => {
    expect(getsFaster([])).toBe(true);
    expect(getsFaster([9, 9, 9, 9, 9])).toBe(true);
  });

  it("ends with the sixth round of a function that is as fast at first as it ever gets", () => {
    expect(roundsOf(Array(20).fill(7))).toBe(6);
    expect(roundsOf(Array(20).fill(0))).toBe(6);
  });

  it("goes on while a compiler makes code faster, step by step, and not for ever", () => {
    expect(roundsOf([1000, 600, 500, 300, 290, 280, 200, 195, 190, 150, 150, 150, 149, 151, 150, 150])).toBe(
      14,
    );
  });

  it("is not misled by one round that something else made slow, wherever it is", () => {
    const falling = [100, 90, 80, 70, 62, 55, 48, 42, 36, 31, 27, 23];
    fc.assert(
      fc.property(fc.nat(falling.length - 1), fc.double({ min: 1, max: 50, noNaN: true }), (at, times) => {
        const disturbed = falling.with(at, (falling[at] as number) * times);
        expect(roundsOf(disturbed)).toBe(falling.length);
      }),
    );
    const steady: number[] = Array(20).fill(10);
    fc.assert(
      fc.property(fc.nat(19), fc.double({ min: 1, max: 50, noNaN: true }), (at, times) => {
        expect(roundsOf(steady.with(at, 10 * times))).toBe(6);
      }),
    );
  });

  it("does not go on for less than a twentieth", () => {
    expect(getsFaster([100, 100, 100, 96, 96, 96])).toBe(false);
    expect(getsFaster([100, 100, 100, 94, 94, 94])).toBe(true);
  });
});
