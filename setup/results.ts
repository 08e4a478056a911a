/** What a suite of tests came to. */
export interface SuiteResult {
  passed: number;
  failed: number;
  /** The names of the tests that did not run. */
  skipped: string[];
}

/** Reads the `test result:` lines of `cargo test`, one a test binary, and the names of the ignored tests. */
export function readCargoResults(output: string): SuiteResult {
  const result: SuiteResult = { passed: 0, failed: 0, skipped: [] };
  for (const [, passed, failed] of output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed;/gm)) {
    result.passed += Number(passed);
    result.failed += Number(failed);
  }
  for (const [, name] of output.matchAll(/^test (.+?) \.\.\. ignored/gm)) result.skipped.push(name ?? "");
  return result;
}

interface VitestReport {
  testResults: {
    name: string;
    status: string;
    assertionResults: { status: string; fullName: string }[];
  }[];
}

/** Reads the report of vitest's JSON reporter. A file that could not be loaded counts as one failure. */
export function readVitestReport(json: string): SuiteResult {
  const result: SuiteResult = { passed: 0, failed: 0, skipped: [] };
  for (const file of (JSON.parse(json) as VitestReport).testResults) {
    for (const { status, fullName } of file.assertionResults) {
      if (status === "passed") result.passed += 1;
      else if (status === "failed") result.failed += 1;
      else result.skipped.push(fullName);
    }
    const reported = file.assertionResults.some(({ status }) => status === "failed");
    if (file.status === "failed" && !reported) result.failed += 1;
  }
  return result;
}

/** Reads what Node.js's own test runner prints with its TAP reporter. */
export function readTapResults(output: string): SuiteResult {
  const count = (name: string) => Number(new RegExp(`^# ${name} (\\d+)$`, "m").exec(output)?.[1] ?? 0);
  const skipped = [...output.matchAll(/^\s*ok \d+ - (.+?) # (?:SKIP|TODO)/gm)].map(([, name]) => name ?? "");
  return { passed: count("pass"), failed: count("fail") + count("cancelled"), skipped };
}

/** Reads what Python's unittest prints with `--verbose`, of one or several runs. */
export function readUnittestResults(output: string): SuiteResult {
  const result: SuiteResult = { passed: 0, failed: 0, skipped: [] };
  for (const [, name] of output.matchAll(/^(?:\w+ \()?([\w.]+)\)?(?:\n.*)? \.\.\. skipped /gm))
    result.skipped.push(name ?? "");
  const verdicts = output.matchAll(/^Ran (\d+) tests? in .*\n\n(?:OK|FAILED)(?: \((.*)\))?$/gm);
  for (const [, ran, details = ""] of verdicts) {
    const count = (name: string) => Number(new RegExp(`\\b${name}=(\\d+)`).exec(details)?.[1] ?? 0);
    const failed = count("failures") + count("errors") + count("unexpected successes");
    result.failed += failed;
    result.passed += Number(ran) - failed - count("skipped");
  }
  return result;
}

/** The last line of a test run. */
export function totalLine(results: readonly SuiteResult[]): string {
  const sum = (of: (result: SuiteResult) => number) =>
    results.reduce((total, result) => total + of(result), 0);
  const skipped = sum((result) => result.skipped.length);
  return `${sum((result) => result.passed)} passed, ${sum((result) => result.failed)} failed, ${skipped} skipped`;
}
