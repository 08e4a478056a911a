import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { SetupError } from "./errors.ts";
import { readImageSize } from "./image-size.ts";
import { repository } from "./machine.ts";
import { invokeMeasured, type Measurement, median, type StartMode, since } from "./measure.ts";
import { step } from "./progress.ts";
import { type Deployed, type ExampleFunction, exampleFunctions } from "./steps/deploy.ts";
import { untilIdle } from "./steps/server.ts";
import { formatBytes, formatTable } from "./table.ts";

const times = 3;

// Warm comes right after cold: it is served by the instance that the last cold start left.
const modes: readonly [StartMode, string][] = [
  ["regular", "regular boot"],
  ["base", "base only"],
  ["cold", "base + diff"],
  ["warm", "warm"],
];

const checks: Record<string, (body: Buffer) => boolean> = {
  hello: (body) => (JSON.parse(body.toString("utf8")) as { greeting?: string }).greeting === "Hello, Firn!",
  thumbnail: (body) => {
    const size = readImageSize(body);
    return size?.kind === "png" && size.width === 64 && size.height === 48;
  },
};

const reportFile = join(repository, ".cache", "once.json");

/** The medians of one start mode. */
type Row = Omit<Measurement, "body" | "start">;

/** What was measured of one function. */
interface FunctionReport {
  rows: Partial<Record<StartMode, Row>>;
  /** How many times faster the start from base + diff is than a regular boot. */
  speedUp: number;
  /** The diff's bytes as a share of guest memory. */
  diffShare: number;
}

/**
 * Invokes every example function three times in each start mode, checks every answer, and prints what was measured.
 *
 * @throws {SetupError} CHECK_FAILED with what was wrong.
 */
export async function runOnce(
  url: string,
  deployed: readonly Deployed[],
  signal: AbortSignal,
): Promise<void> {
  const reports: Record<string, FunctionReport> = {};
  for (const example of exampleFunctions) {
    const rows = await measure(url, example, signal);
    const { snapshot } = deployed.find(({ name }) => name === example.name) ?? {};
    const report: FunctionReport = {
      rows,
      speedUp: (rows.regular?.milliseconds ?? Number.NaN) / (rows.cold?.milliseconds ?? Number.NaN),
      diffShare: (snapshot?.layerBytes ?? Number.NaN) / (snapshot?.memoryBytes ?? Number.NaN),
    };
    reports[example.name] = report;
    print(example.name, report);
  }
  await mkdir(dirname(reportFile), { recursive: true });
  await writeFile(reportFile, `${JSON.stringify(reports, null, 2)}\n`);
  console.log(`All answers were right. The figures are in ${reportFile}.`);
}

async function measure(
  url: string,
  example: ExampleFunction,
  signal: AbortSignal,
): Promise<FunctionReport["rows"]> {
  const rows: FunctionReport["rows"] = {};
  let previous: Measurement | undefined;
  for (const [mode, label] of modes) {
    const measured: Measurement[] = [];
    for (let time = 1; time <= times; time += 1) {
      const raw = await step(`${example.name}, ${label}, ${time} of ${times}`, () =>
        checked(url, example, mode, signal),
      );
      measured.push(mode === "warm" && previous !== undefined ? since(raw, previous) : raw);
      previous = raw;
    }
    rows[mode] = medians(measured);
  }
  return rows;
}

function print(name: string, report: FunctionReport): void {
  const header = ["", "first response", "KVM exits", "copied", "private", "in the store"];
  const rows = modes.map(([mode, label]) => {
    const row = report.rows[mode];
    if (row === undefined) return [label];
    const bytes = [row.bytesCopied, row.privateBytes, row.storeBytes].map(formatBytes);
    return [label, `${row.milliseconds.toFixed(1)} ms`, String(row.kvmExits), ...bytes];
  });
  console.log(`\n${name}, median of ${times}, as the server measured it\n\n${formatTable(header, rows)}\n`);
  const share = (100 * report.diffShare).toFixed(1);
  console.log(
    `base + diff is ${report.speedUp.toFixed(1)} times faster than a regular boot; the diff is ${share} % of memory`,
  );
}

async function checked(
  url: string,
  example: ExampleFunction,
  mode: StartMode,
  signal: AbortSignal,
): Promise<Measurement> {
  // Each finds the same: the processes that cold starts take are there, and nobody is making others.
  await untilIdle(url, signal);
  const measurement = await invokeMeasured(url, example, mode, signal);
  if (checks[example.name]?.(measurement.body) === true) return measurement;
  const shown = measurement.body.subarray(0, 200).toString("utf8");
  throw new SetupError("CHECK_FAILED", `${example.name} (${mode}) gave a wrong answer: ${shown}`);
}

function medians(measured: readonly Measurement[]): Row {
  const middle = (of: (one: Measurement) => number) => median(measured.map(of));
  return {
    milliseconds: middle((one) => one.milliseconds),
    kvmExits: middle((one) => one.kvmExits),
    faults: middle((one) => one.faults),
    bytesCopied: middle((one) => one.bytesCopied),
    privateBytes: middle((one) => one.privateBytes),
    storeBytes: middle((one) => one.storeBytes),
  };
}
