import { SetupError } from "./errors.ts";
import { readImageSize } from "./image-size.ts";
import { invokeMeasured, type Measurement, median, type StartMode } from "./measure.ts";
import { step } from "./progress.ts";
import { type ExampleFunction, exampleFunctions } from "./steps/deploy.ts";
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

/**
 * Invokes every example function three times in each start mode, checks every answer, and prints what was measured.
 *
 * @throws {SetupError} CHECK_FAILED with what was wrong.
 */
export async function runOnce(url: string, signal: AbortSignal): Promise<void> {
  for (const example of exampleFunctions) {
    const rows: string[][] = [];
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
      rows.push([label, ...describe(measured)]);
    }
    const header = ["", "first response", "KVM exits", "copied", "private", "in the store"];
    console.log(`\n${example.name}, median of ${times}\n\n${formatTable(header, rows)}\n`);
  }
}

async function checked(
  url: string,
  example: ExampleFunction,
  mode: StartMode,
  signal: AbortSignal,
): Promise<Measurement> {
  const measurement = await invokeMeasured(url, example, mode, signal);
  if (checks[example.name]?.(measurement.body) === true) return measurement;
  const shown = measurement.body.subarray(0, 200).toString("utf8");
  throw new SetupError("CHECK_FAILED", `${example.name} (${mode}) gave a wrong answer: ${shown}`);
}

// A process counts from its start. What an answer of a warm instance cost is what was added since its last one.
function since(now: Measurement, before: Measurement): Measurement {
  return {
    ...now,
    kvmExits: now.kvmExits - before.kvmExits,
    bytesCopied: now.bytesCopied - before.bytesCopied,
  };
}

function describe(measured: readonly Measurement[]): string[] {
  const middle = (of: (one: Measurement) => number) => median(measured.map(of));
  return [
    `${middle((one) => one.milliseconds).toFixed(1)} ms`,
    String(middle((one) => one.kvmExits)),
    formatBytes(middle((one) => one.bytesCopied)),
    formatBytes(middle((one) => one.privateBytes)),
    formatBytes(middle((one) => one.storeBytes)),
  ];
}
