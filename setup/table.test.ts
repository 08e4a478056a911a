import { describe, expect, it } from "vitest";
import { median } from "./measure.ts";
import { formatBytes, formatDuration, formatTable } from "./table.ts";

describe("formatTable()", () => {
  it("aligns names to the left and numbers to the right", () => {
    expect(
      formatTable(
        ["start", "time"],
        [
          ["cold", "5 ms"],
          ["regular boot", "12345 ms"],
        ],
      ),
    ).toBe("start             time\n------------  --------\ncold              5 ms\nregular boot  12345 ms");
  });
});

describe("formatBytes()", () => {
  it("chooses the unit", () => {
    expect([0, 1023, 1024, 1536 * 1024, 3 * 2 ** 30].map(formatBytes)).toEqual([
      "0 B",
      "1023 B",
      "1.0 KiB",
      "1.5 MiB",
      "3.0 GiB",
    ]);
  });
});

describe("median()", () => {
  it("is the middle value, in whatever order they come", () => {
    expect(median([9, 1, 5])).toBe(5);
  });
});

describe("formatDuration()", () => {
  it("has minutes from one minute on", () => {
    expect([0.04, 59.94, 60, 3599.6].map(formatDuration)).toEqual([
      "0.0 s",
      "59.9 s",
      "1 min 0 s",
      "60 min 0 s",
    ]);
  });
});
