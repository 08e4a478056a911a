import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type FunctionReport,
  functionTable,
  judgeFunctions,
  type StartCost,
  type Verdict,
} from "../test/bench/src/index.ts";
import { run } from "./command.ts";
import { SetupError } from "./errors.ts";
import { repository } from "./machine.ts";
import { invokeMeasured, type Measurement, median, since } from "./measure.ts";
import { step } from "./progress.ts";
import { deploy, type ExampleFunction, exampleFunctions } from "./steps/deploy.ts";
import { openHost, prepareEverything } from "./steps/prepare.ts";
import { startServer, untilIdle } from "./steps/server.ts";
import { formatTable } from "./table.ts";

const times = 3;
const lessons = 10;
const port = 18_200;
const installTimeoutMs = 5 * 60_000;
const folder = join(repository, ".cache", "bench-functions");
const own = join(repository, "test", "bench", "functions");

const python = { name: "python3.11", handler: "lambda_function.lambda_handler" };
const invocations = "/2015-03-31/functions/NAME/invocations";

/** A function that is measured. */
interface Candidate {
  readonly name: string;
  readonly source: string;
  readonly files: readonly string[];
  readonly runtime?: ExampleFunction["runtime"];
  readonly sample: ExampleFunction["sample"];
  /** Fetches what it needs into a folder, if that is not there. */
  readonly install?: (folder: string) => Promise<unknown>;
}

/** Functions that the project has not been made for, with what they need from npm and PyPI. */
const fetched: readonly Candidate[] = [
  { name: "typescript", install: npmInstall },
  { name: "pdf-lib", install: npmInstall },
  { name: "pillow", install: (target: string) => pipInstall(target, "pillow==11.1.0"), runtime: python },
].map((one) => ({
  ...one,
  source: join(own, one.name),
  files: ["."],
  sample: { path: invocations, body: '{"name":"Firn"}' },
}));

const candidates: readonly Candidate[] = [
  ...exampleFunctions.map(({ name, folder: source, files, sample }) => ({
    name,
    source,
    files,
    sample: { ...sample, path: sample.path.replace(`/${name}/`, "/NAME/") },
  })),
  {
    name: "hello-python",
    source: join(repository, "guest-images", "functions", "hello-python"),
    files: ["package.json", "lambda_function.py"],
    runtime: python,
    sample: { path: invocations, body: '{"name":"Firn"}' },
  },
  ...fetched,
];

function npmInstall(target: string) {
  const flags = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--workspaces=false"];
  return run("npm", ["install", ...flags], { cwd: target, timeoutMs: installTimeoutMs });
}

/** For the guest's Python, not for this machine's. */
function pipInstall(target: string, requirement: string) {
  const platform = ["--platform", "manylinux2014_aarch64", "--python-version", "3.11", "--only-binary=:all:"];
  const args = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", ".", ...platform];
  return run("python3", [...args, requirement], { cwd: target, timeoutMs: installTimeoutMs });
}

/** Measures cold starts against warm ones: of functions of this repository, and of such as it has not been made for. */
export async function benchFunctions(): Promise<Verdict[]> {
  const images = await prepareEverything();
  await rm(folder, { recursive: true, force: true });
  const { signal } = new AbortController();
  await using host = await openHost({});
  const server = await step("invoke server and base snapshot", () => startServer(host, images, port, signal));
  const reports: FunctionReport[] = [];
  try {
    for (const candidate of candidates) {
      for (const samples of [true, false]) {
        // One that cannot be fetched, or for which there is no runtime, is no reason to measure nothing.
        const report = await measure(server.url, candidate, samples, signal).catch(
          (error: Error) => void console.error(`✗ ${candidate.name} is not measured: ${error.message}`),
        );
        if (report !== undefined) reports.push(report);
      }
    }
  } finally {
    await server.stop();
  }
  const verdicts = judgeFunctions(reports);
  const file = join(repository, ".cache", "bench-functions.json");
  await writeFile(file, `${JSON.stringify({ functions: reports, verdicts }, null, 2)}\n`);
  const { header, rows } = functionTable(reports);
  console.log(`\nmedian of ${times}, as the server measured it\n\n${formatTable(header, rows)}\n`);
  return verdicts;
}

async function measure(
  url: string,
  candidate: Candidate,
  samples: boolean,
  signal: AbortSignal,
): Promise<FunctionReport> {
  const name = `bench-${candidate.name}${samples ? "" : "-plain"}`;
  const example = await step(`${name}: files`, () => prepareFunction(candidate, name, samples));
  const { snapshot } = await step(`${name}: deploy`, () => deploy(url, example, signal));
  const start = async (mode: "cold" | "warm", title: string) => {
    await untilIdle(url, signal);
    const measured = await step(`${name}: ${title}`, () => invokeMeasured(url, example, mode, signal));
    if (/"answered":false/.test(measured.body.toString("utf8"))) {
      throw new SetupError("CHECK_FAILED", `${name} gave a wrong answer: ${measured.body.toString("utf8")}`);
    }
    return measured;
  };
  const first = await start("cold", "first cold start");
  if (!samples) {
    await step(`${name}: ${lessons - 1} more`, async () => {
      for (let count = 2; count <= lessons; count += 1) await invokeMeasured(url, example, "cold", signal);
    });
  }
  const cold: Measurement[] = [];
  for (let time = 1; time <= times; time += 1) cold.push(await start("cold", `cold, ${time} of ${times}`));
  const warm: Measurement[] = [];
  let previous = cold.at(-1) as Measurement;
  for (let time = 1; time <= times; time += 1) {
    const measured = await start("warm", `warm, ${time} of ${times}`);
    warm.push(since(measured, previous));
    previous = measured;
  }
  await fetch(`${url}/functions/${name}`, { method: "DELETE" });
  return {
    name: candidate.name,
    samples,
    diffBytes: snapshot?.layerBytes ?? Number.NaN,
    first: costOf([first]),
    cold: costOf(cold),
    warm: costOf(warm),
  };
}

/** A copy of a function with what it needs, and with one sample, the request that is measured, or without any. */
async function prepareFunction(
  candidate: Candidate,
  name: string,
  samples: boolean,
): Promise<ExampleFunction> {
  const { source, files, runtime, install, sample } = candidate;
  const target = join(folder, name);
  await mkdir(target, { recursive: true });
  for (const file of files) await cp(join(source, file), join(target, file), { recursive: true });
  await install?.(target);
  const path = join(target, "package.json");
  const { firn: _, ...rest } = JSON.parse(await readFile(path, "utf8").catch(() => '{"type":"module"}'));
  const firn = {
    samples: [
      sample.body === undefined
        ? { http: { method: "POST", path: pathOf(sample.path) } }
        : { event: JSON.parse(sample.body) },
    ],
  };
  await writeFile(path, JSON.stringify(samples ? { ...rest, firn } : rest));
  return {
    name,
    folder: target,
    files: ["."],
    runtime,
    sample: { ...sample, path: sample.path.replace("NAME", name) },
  };
}

/** What the function sees of a path of the server's. */
function pathOf(path: string): string {
  return path.replace(/^.*\/http\//, "/");
}

function costOf(measured: readonly Measurement[]): StartCost {
  const middle = (of: (one: Measurement) => number) => median(measured.map(of));
  return {
    milliseconds: middle((one) => one.milliseconds),
    faults: middle((one) => one.faults),
    kvmExits: middle((one) => one.kvmExits),
    bytesCopied: middle((one) => one.bytesCopied),
    privateBytes: middle((one) => one.privateBytes),
  };
}
