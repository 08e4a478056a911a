import { describe, expect, it } from "vitest";
import { type Lesson, MAX_STARTS, mayTeach } from "./learning-rule.ts";

const added = (addedBytes: number, totalBytes = 1000): Lesson => ({ addedBytes, totalBytes });

describe("mayTeach()", () => {
  it("wants three starts at least, and ten at most", () => {
    expect(mayTeach(0, [])).toBe(true);
    expect(mayTeach(1, [])).toBe(true);
    expect(mayTeach(2, [added(0)])).toBe(true);
    expect(mayTeach(MAX_STARTS - 1, [added(900), added(900)])).toBe(true);
    expect(mayTeach(MAX_STARTS, [added(900), added(900)])).toBe(false);
  });

  it("ends when two in a row have added less than a fiftieth", () => {
    expect(mayTeach(5, [added(900), added(19), added(19)])).toBe(false);
    expect(mayTeach(5, [added(900), added(19), added(20)])).toBe(true);
    expect(mayTeach(5, [added(19), added(20), added(19)])).toBe(true);
    expect(mayTeach(3, [added(0, 0), added(0, 0)])).toBe(true);
  });
});
