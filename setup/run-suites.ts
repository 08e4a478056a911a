import { SetupError } from "./errors.ts";
import { hasUsableKvm } from "./machine.ts";
import { type SuiteResult, totalLine } from "./results.ts";
import { openHost, prepare } from "./steps/prepare.ts";
import type { Need, Suite } from "./suites.ts";
import { formatDuration } from "./table.ts";

interface Outcome extends SuiteResult {
  title: string;
  seconds: number;
}

const needs: readonly Need[] = ["tools", "packages", "guests"];

/**
 * Prepares what suites need, runs them one after the other, and prints what each came to and how long it took. The last line counts.
 *
 * @param names Those alone; all if none are named.
 * @returns The exit status.
 * @throws {SetupError} RIG_BAD_ARGUMENT for a suite that there is not.
 */
export async function runSuites(
  suites: Readonly<Record<string, Suite>>,
  names: readonly string[],
): Promise<number> {
  const started = performance.now();
  const chosen = choose(suites, names);
  const most = Math.max(...chosen.map((suite) => needs.indexOf(suite.needs)));
  const images = await prepare(needs[most] ?? "tools");
  const preparation = secondsSince(started);
  // The suites that open an ARM host find it up, and leave it so.
  const shared = chosen.some((suite) => suite.needs === "guests") ? await openHost({}) : undefined;
  const outcomes: Outcome[] = [];
  for (const suite of chosen) outcomes.push(await runSuite(suite, images));
  await shared?.close();
  console.log(`\n  preparation (${formatDuration(preparation)})`);
  for (const { title, seconds, ...result } of outcomes) {
    const mark = result.failed === 0 ? "✓" : "✗";
    console.log(`${mark} ${title}: ${totalLine([result])} (${formatDuration(seconds)})`);
    for (const test of result.skipped) console.log(`    skipped: ${test}`);
  }
  console.log(`  all (${formatDuration(secondsSince(started))})`);
  console.log(totalLine(outcomes));
  return outcomes.every(({ failed }) => failed === 0) ? 0 : 1;
}

function choose(suites: Readonly<Record<string, Suite>>, names: readonly string[]): Suite[] {
  const known = Object.keys(suites);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const message = `"${unknown}" is no suite. Choose among ${known.join(", ")}, or name none for all.`;
    throw new SetupError("RIG_BAD_ARGUMENT", message);
  }
  // A machine is one ARM host: where tests run on this one, those for another would be the same again.
  const usual = known.filter((name) => !(hasUsableKvm() && /^arm-(gic2|max|16k)$/.test(name)));
  return (names.length > 0 ? names : usual).flatMap((name) => suites[name] ?? []);
}

async function runSuite(suite: Suite, images: Readonly<Record<string, string>>): Promise<Outcome> {
  const started = performance.now();
  console.log(`\n▶ ${suite.title}`);
  const result = await suite.run(images).catch((error: Error): SuiteResult => {
    console.error(error);
    return { passed: 0, failed: 1, skipped: [] };
  });
  const seconds = secondsSince(started);
  console.log(`${suite.title}: ${totalLine([result])} (${formatDuration(seconds)})`);
  return { title: suite.title, seconds, ...result };
}

function secondsSince(started: number): number {
  return (performance.now() - started) / 1000;
}
