import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CommandOptions, run } from "./command.ts";
import { repository } from "./machine.ts";
import { pythonProgram } from "./python.ts";
import {
  readCargoResults,
  readTapResults,
  readUnittestResults,
  readVitestReport,
  type SuiteResult,
} from "./results.ts";
import { rustEnvironment } from "./rust.ts";
import { scriptEnvironment } from "./steps/builds.ts";

const suiteTimeoutMs = 45 * 60_000;

/** Runs tests with `cargo test`; every test binary runs, whatever an earlier one came to. */
export async function cargoSuite(
  args: readonly string[],
  env: CommandOptions["env"] = {},
): Promise<SuiteResult> {
  console.log(`cargo test ${args.join(" ")}`);
  const outcome = await run("/usr/bin/cargo", ["test", "--no-fail-fast", ...args], {
    cwd: repository,
    env: { ...rustEnvironment(), ...env, CARGO_TERM_COLOR: "never" },
    echo: true,
    allowFailure: true,
    timeoutMs: suiteTimeoutMs,
  });
  return judge(outcome.status, readCargoResults(outcome.stdout));
}

/** Runs tests with vitest. */
export async function vitestSuite(
  args: readonly string[],
  env: CommandOptions["env"] = {},
): Promise<SuiteResult> {
  console.log(`vitest run ${args.join(" ")}`);
  const scratch = await mkdtemp(join(tmpdir(), "firn-vitest-"));
  try {
    const file = join(scratch, "report.json");
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
    const outcome = await run(
      join(repository, "node_modules", ".bin", "vitest"),
      ["run", ...args, ...reporters],
      {
        cwd: repository,
        env: { ...scriptEnvironment(), ...env },
        echo: true,
        allowFailure: true,
        timeoutMs: suiteTimeoutMs,
      },
    );
    const report = await readFile(file, "utf8").catch(() => '{"testResults":[]}');
    return judge(outcome.status, readVitestReport(report));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Runs the tests in folders with Python's own test runner. */
export async function pythonSuite(folders: readonly string[]): Promise<SuiteResult> {
  const total: SuiteResult = { passed: 0, failed: 0, skipped: [] };
  for (const folder of folders) {
    console.log(`python3.11 -m unittest discover ${folder}`);
    const outcome = await run(pythonProgram, ["-s", "-B", "-m", "unittest", "discover", "--verbose"], {
      cwd: join(repository, folder),
      echo: true,
      allowFailure: true,
      timeoutMs: suiteTimeoutMs,
    });
    const { passed, failed, skipped } = judge(outcome.status, readUnittestResults(outcome.stderr));
    total.passed += passed;
    total.failed += failed;
    total.skipped.push(...skipped);
  }
  return total;
}

/** Judges tests that ran on the ARM host with Node.js's own test runner. */
export function tapSuite(status: number, output: string): SuiteResult {
  return judge(status, readTapResults(output));
}

// A suite that fails without a failed test did not build or did not end: that is a failure like any other. So is one in
// which no test ran.
function judge(status: number, result: SuiteResult): SuiteResult {
  const ran = result.passed + result.failed + result.skipped.length > 0;
  const broken = result.failed === 0 && (status !== 0 || !ran);
  return { ...result, failed: result.failed + (broken ? 1 : 0) };
}
