import { copyFile, mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./command.ts";
import { buildFuzzTargets, corpusOf, limitsOf, sanitizer } from "./fuzz.ts";
import { main } from "./main.ts";

/** Most inputs of a committed corpus. */
const most = 40;

// Replaces the corpora by the fewest inputs that reach as much, after each target has run for the seconds that the first argument
// says: `node_modules/.bin/node setup/fuzz-corpus.ts 60 state` after a format has changed.
await main(async ([seconds = "60", ...names]) => {
  for (const each of await buildFuzzTargets()) {
    if (names.length === 0 || names.includes(each.name)) await minimise(each, Number(seconds));
  }
  return 0;
});

async function minimise(
  { name, program, seeds }: { name: string; program: string; seeds: string },
  seconds: number,
): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), "firn-fuzz-"));
  const corpus = corpusOf(name);
  const [found, merged] = [join(scratch, "found"), join(scratch, "merged")];
  await Promise.all([found, merged, corpus].map((each) => mkdir(each, { recursive: true })));
  const options = { timeoutMs: (seconds + 1200) * 1000, env: sanitizer };
  const limits = [...limitsOf(name), "-verbosity=0"];
  await run(program, [...limits, `-max_total_time=${seconds}`, found, corpus, seeds], options);
  // Whether a branch was taken, not how often, nor what was compared: that keeps a corpus to some dozens of inputs.
  const merge = ["-set_cover_merge=1", "-use_counters=0", "-use_cmp=0", "-use_value_profile=0"];
  await run(program, [...limits, ...merge, merged, seeds, corpus, found], options);
  const inputs = await Promise.all(
    (await readdir(merged)).map(async (file) => ({ file, size: (await stat(join(merged, file))).size })),
  );
  // Long inputs reach the most.
  inputs.sort((a, b) => b.size - a.size || (a.file < b.file ? -1 : 1));
  await rm(corpus, { recursive: true });
  await mkdir(corpus);
  for (const { file } of inputs.slice(0, most)) await copyFile(join(merged, file), join(corpus, file));
  await rm(scratch, { recursive: true });
  console.log(`${name}: ${inputs.length} inputs, kept ${Math.min(inputs.length, most)}`);
}
