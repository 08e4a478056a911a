import { describe, expect, it } from "vitest";
import { executedRuns, fuzzSeconds } from "./fuzz.ts";

describe("fuzzing", () => {
  it("fuzzSeconds() takes FIRN_FUZZ_SECONDS, and what is usual where that is no time", () => {
    expect(fuzzSeconds(20, {})).toBe(20);
    expect(fuzzSeconds(20, { FIRN_FUZZ_SECONDS: "5" })).toBe(5);
    for (const wrong of ["0", "-3", "soon", ""])
      expect(fuzzSeconds(20, { FIRN_FUZZ_SECONDS: wrong })).toBe(20);
  });

  it("executedRuns() reads what libFuzzer says at its end", () => {
    const output = "Done 812 runs\nstat::number_of_executed_units: 812\nstat::average_exec_per_sec:     40\n";
    expect(executedRuns(output)).toBe(812);
    expect(executedRuns("==1== ERROR: libFuzzer: deadly signal")).toBe(0);
  });
});
