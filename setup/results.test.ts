import { describe, expect, it } from "vitest";
import {
  readCargoResults,
  readTapResults,
  readUnittestResults,
  readVitestReport,
  totalLine,
} from "./results.ts";

describe("readCargoResults()", () => {
  it("sums the test binaries and names what was ignored", () => {
    const output = [
      "running 3 tests",
      "test layer::tests::packs ... ok",
      "test layer::tests::slow ... ignored",
      "test layer::tests::big ... ignored, needs 8 GiB",
      "test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s",
      "test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
    ].join("\n");
    expect(readCargoResults(output)).toEqual({
      passed: 5,
      failed: 1,
      skipped: ["layer::tests::slow", "layer::tests::big"],
    });
  });
});

describe("readVitestReport()", () => {
  const assertion = (status: string) => ({ status, fullName: `a test that ${status}` });

  it("counts tests, and a file that did not load as a failure", () => {
    const testResults = [
      {
        name: "a.test.ts",
        status: "failed",
        assertionResults: [assertion("passed"), assertion("failed"), assertion("skipped")],
      },
      { name: "b.test.ts", status: "failed", assertionResults: [] },
    ];
    expect(readVitestReport(JSON.stringify({ testResults }))).toEqual({
      passed: 1,
      failed: 2,
      skipped: ["a test that skipped"],
    });
  });
});

describe("readTapResults()", () => {
  it("reads the counts at the end and names what was skipped", () => {
    const output =
      "ok 1 - restores\n    ok 2 - runs on GICv2 # SKIP there is none\n# pass 1\n# fail 2\n# cancelled 1\n";
    expect(readTapResults(output)).toEqual({ passed: 1, failed: 3, skipped: ["runs on GICv2"] });
  });
});

describe("readUnittestResults()", () => {
  it("sums the runs and names what was skipped", () => {
    const output = [
      "test_one (test_wire.Wire.test_one) ... ok",
      "test_two (test_wire.Wire.test_two)",
      "Two has a sentence. ... skipped 'there is none'",
      "test_three (test_wire.Wire.test_three) ... skipped 'why not'",
      "",
      "Ran 7 tests in 0.1s",
      "",
      "FAILED (failures=1, errors=2, skipped=2)",
      "test_four (test_other.Other.test_four) ... ok",
      "",
      "Ran 1 test in 0.1s",
      "",
      "OK",
      "",
    ].join("\n");
    expect(readUnittestResults(output)).toEqual({
      passed: 3,
      failed: 3,
      skipped: ["test_wire.Wire.test_two", "test_wire.Wire.test_three"],
    });
  });
});

describe("totalLine()", () => {
  it("is the plain line that ends a run", () => {
    const suites = [
      { passed: 2, failed: 0, skipped: ["x"] },
      { passed: 3, failed: 1, skipped: [] },
    ];
    expect(totalLine(suites)).toBe("5 passed, 1 failed, 1 skipped");
  });
});
