import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, tail } from "./command.ts";
import { isArm, jobs, repository } from "./machine.ts";
import type { SuiteResult } from "./results.ts";
import { armTarget, cargo, targetDirectory } from "./rust.ts";

/** The workspace of the fuzz targets. */
export const fuzzCrate = join(repository, "crates", "vmm", "fuzz");
const target = isArm ? armTarget : "x86_64-unknown-linux-gnu";

// What cargo-fuzz passes. The address sanitizer's runtime is not part of Debian's Rust: GCC's, which does the linking, is taken, and must
// be the first library.
const instrumentation = [
  "-Cpasses=sancov-module",
  "-Cllvm-args=-sanitizer-coverage-level=4",
  "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
  "-Cllvm-args=-sanitizer-coverage-pc-table",
  "-Cllvm-args=-sanitizer-coverage-trace-compares",
  "--cfg=fuzzing",
  "-Zsanitizer=address",
  "-Zexternal-clangrt",
  "-Zpre-link-arg=-Wl,--no-as-needed,-lasan",
];
/** Has a stable compiler take options of a nightly one. */
const compiler = { RUSTFLAGS: instrumentation.join(" "), RUSTC_BOOTSTRAP: "1" };
/** A leak is no access outside of what was allocated, and to look for some takes permission to trace oneself. */
export const sanitizer = { ASAN_OPTIONS: "detect_leaks=0" };

/** The longest input of a target in bytes, where 4 KiB are not right. */
const longest: Readonly<Record<string, number>> = { chain: 1024, layer: 2048, mmio: 1024, virtio: 1024 };
const defaultLongest = 4096;
/** An input that takes longer than this many seconds is a hang. */
const hangSeconds = 10;
const memoryMib = 1024;
/** A target that tried fewer inputs than this did not work. */
const fewestRuns = 500;

/** How long each target runs in a test, in seconds: FIRN_FUZZ_SECONDS, or as long as is usual. */
export function fuzzSeconds(usual: number, env: NodeJS.ProcessEnv = process.env): number {
  const wanted = Number(env.FIRN_FUZZ_SECONDS ?? usual);
  return Number.isFinite(wanted) && wanted >= 1 ? Math.floor(wanted) : usual;
}

/** How many inputs libFuzzer says that it tried. */
export function executedRuns(output: string): number {
  return Number(/^stat::number_of_executed_units:\s+(\d+)$/m.exec(output)?.[1] ?? 0);
}

/** Where the committed inputs of a target are. */
export function corpusOf(name: string): string {
  return join(fuzzCrate, "corpus", name);
}

/** What libFuzzer is to take for a failure of this target. */
export function limitsOf(name: string): string[] {
  const length = `-max_len=${longest[name] ?? defaultLongest}`;
  return [length, `-timeout=${hangSeconds}`, `-rss_limit_mb=${memoryMib}`];
}

/** Builds every fuzz target and returns their names, their programs, and where inputs of today's formats lie for each. */
export async function buildFuzzTargets(): Promise<{ name: string; program: string; seeds: string }[]> {
  const directory = join(targetDirectory(), "fuzz");
  await cargo(["build", "--release", "--locked", "--bins", "--target", target], {
    cwd: fuzzCrate,
    env: { CARGO_TARGET_DIR: directory, ...compiler },
  });
  const sources = await readdir(join(fuzzCrate, "targets"));
  const program = (name: string) => join(directory, target, "release", name);
  const seeds = join(directory, "seeds");
  const names = sources.map((source) => source.replace(/\.rs$/, "")).sort();
  for (const name of names) await run(program(name), [], { env: { FIRN_FUZZ_SEEDS: seeds, ...sanitizer } });
  return names.map((name) => ({ name, program: program(name), seeds: join(seeds, name) }));
}

/** Runs every fuzz target for its time, from its committed corpus on. Each is one test. */
export async function fuzzSuite(usualSeconds: number): Promise<SuiteResult> {
  const seconds = fuzzSeconds(usualSeconds);
  console.log(`${seconds} s a target`);
  const waiting = await buildFuzzTargets();
  const result: SuiteResult = { passed: 0, failed: 0, skipped: [] };
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (await fuzz(next, seconds)) result.passed += 1;
      else result.failed += 1;
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  return result;
}

async function fuzz(
  { name, program, seeds }: { name: string; program: string; seeds: string },
  seconds: number,
): Promise<boolean> {
  const found = await mkdtemp(join(tmpdir(), `firn-fuzz-${name}-`));
  const artefacts = join(repository, ".cache", "fuzz");
  await mkdir(artefacts, { recursive: true });
  try {
    const args = [
      ...[...limitsOf(name), `-max_total_time=${seconds}`, "-print_final_stats=1", "-verbosity=0"],
      ...[`-artifact_prefix=${artefacts}/${name}-`, found, corpusOf(name), seeds],
    ];
    const timeoutMs = (seconds + 120) * 1000;
    const options = { allowFailure: true, timeoutMs, env: sanitizer };
    const { status, stdout, stderr } = await run(program, args, options);
    const runs = executedRuns(stdout + stderr);
    const passed = status === 0 && runs >= fewestRuns;
    console.log(`${passed ? "✓" : "✗"} ${name}: ${runs} inputs`);
    if (!passed) {
      console.log(tail(stdout + stderr, 60));
      console.log(`The input is in ${artefacts}. Run it alone: ${program} ${artefacts}/${name}-…`);
    }
    return passed;
  } finally {
    await rm(found, { recursive: true, force: true });
  }
}
