import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { judgeVmm, parseVmmReport, type Verdict, vmmTables } from "../test/bench/src/index.ts";
import { benchFunctions } from "./bench-functions.ts";
import { run } from "./command.ts";
import { SetupError } from "./errors.ts";
import { repository } from "./machine.ts";
import { main } from "./main.ts";
import { step } from "./progress.ts";
import { armTarget, cargo, rustEnvironment } from "./rust.ts";
import { openHost, prepareForRig } from "./steps/prepare.ts";
import { formatBytes, formatTable } from "./table.ts";

const benchTimeoutMs = 30 * 60_000;
const benchmarks: Record<string, () => Promise<Verdict[]>> = { vmm: benchVmm, functions: benchFunctions };

// Measures, prints tables and verdicts, and writes all figures to .cache/bench-NAME.json. A bar that does not hold is said, and is no
// failure of the command: only a benchmark that does not run is.
await main(async (argv) => {
  const unknown = argv.find((name) => benchmarks[name] === undefined);
  if (unknown !== undefined) {
    const message = `"${unknown}" is no benchmark. Choose among ${Object.keys(benchmarks).join(", ")}, or name none for all.`;
    throw new SetupError("RIG_BAD_ARGUMENT", message);
  }
  for (const name of argv.length > 0 ? argv : Object.keys(benchmarks)) {
    const verdicts = (await benchmarks[name]?.()) ?? [];
    console.log("");
    for (const verdict of verdicts) console.log(sentence(verdict));
  }
  return 0;
});

async function benchVmm(): Promise<Verdict[]> {
  await prepareForRig();
  const bench = ["bench", "--package", "firn-vmm", "--bench", "vmm", "--target", armTarget];
  await step("benchmark of the VMM", () => cargo([...bench, "--no-run"]));
  await using _host = await openHost({});
  // The report is what it prints; what it is at goes to the terminal.
  const { stdout } = await run("/usr/bin/cargo", [...bench, "--quiet"], {
    cwd: repository,
    env: { ...rustEnvironment(), CARGO_TERM_COLOR: "never" },
    timeoutMs: benchTimeoutMs,
  });
  const report = parseVmmReport(stdout);
  const verdicts = judgeVmm(report);
  const directory = join(repository, ".cache");
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "bench-vmm.json"), `${JSON.stringify({ ...report, verdicts }, null, 2)}\n`);
  for (const { title, header, rows } of vmmTables(report)) {
    console.log(`\n${title}\n${formatTable(header, rows)}`);
  }
  return verdicts;
}

function sentence({ promise, bar, measured, unit, held, from }: Verdict): string {
  const text = (value: number) => (unit === "bytes" ? formatBytes(value) : `${value.toFixed(2)} times`);
  return `${held ? "✓ held" : "✗ NOT held"}: ${promise}: ${text(measured)}, at most ${text(bar)} (${from})`;
}
