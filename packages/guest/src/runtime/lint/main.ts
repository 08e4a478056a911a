import { isAbsolute, join } from "node:path";
import { pathToFileURL } from "node:url";
import { LIFECYCLE } from "../../lifecycle.ts";
import { describeThrown, messageOf } from "../errors/thrown.ts";
import { Hooks } from "../hooks.ts";
import { installStreaming } from "../lambda/streaming.ts";
import { OpenResources } from "../open-resources/open-resources.ts";
import { provideSdk } from "../sdk-resolution.ts";
import { warningOf } from "../uniqueness/draw-warning.ts";
import { Draws } from "../uniqueness/draws.ts";
import { replaceMathRandom } from "../uniqueness/math-random.ts";
import type { Warning } from "../warning.ts";

/** What a lint found, as it is sent to the process that forked this one. */
export type LintReport =
  | { readonly warnings: readonly Warning[] }
  | { readonly failure: { readonly message: string; readonly stack: readonly string[] } };

// This module is what the function gets when it imports "@firn/guest".
export * from "../../index.ts";

const [root = ".", entry = "index.js"] = process.argv.slice(2);
// Not awaited: the function imports this module, which must have been evaluated then.
void lint(root, entry).then((report) => process.send?.(report, () => process.exit(0)));

/** Brings a function to its warm point as a deploy does, and looks at what a snapshot of it would keep. */
async function lint(folder: string, module: string): Promise<LintReport> {
  provideSdk(import.meta.url);
  const hooks = new Hooks();
  Object.defineProperty(globalThis, LIFECYCLE, { value: hooks });
  installStreaming();
  const draws = new Draws(() => undefined);
  replaceMathRandom(() => {
    if (draws.watching) draws.note("Math.random");
  });
  draws.install();
  const resources = new OpenResources();
  resources.install();
  process.chdir(folder);
  draws.start();
  resources.start();
  try {
    await import(pathToFileURL(isAbsolute(module) ? module : join(process.cwd(), module)).href);
    await hooks.becomeReady();
    await hooks.runBeforeSnapshot();
  } catch (error) {
    return { failure: { message: messageOf(error), stack: describeThrown(error).trace } };
  }
  const drawn = warningOf(draws.list());
  const random = drawn === undefined ? [] : [drawn];
  return { warnings: [...random, ...resources.warnings(), ...resources.processWarnings()] };
}
