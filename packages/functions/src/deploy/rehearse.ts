import type { InvokeRequest, InvokeResponse } from "@firn/snapshots";
import { requireAnswer } from "./ask-sample.ts";
import { getsFaster, MAX_ROUNDS } from "./rehearsal-rule.ts";

const REMEDY =
  ' Samples are answered again and again before the snapshot, until they get no faster: see context.rehearsal, or set "warm": false.';

/** How a rehearsal went: the milliseconds that the function took for all samples of a round together, the first round first. */
export type Rehearsal = readonly number[];

/**
 * Has a function answer its samples, one after the other and again and again, until that gets no faster; at most 20 rounds. What it
 * compiles and fills meanwhile is in the snapshot that is taken next.
 *
 * @param invoke Calls the function that is going to be snapshotted.
 * @param budgetMs No round begins after so many milliseconds.
 * @throws {FunctionFailedError} FIRN_FUNCTION_SAMPLE if it fails at a sample, and what `invoke` throws.
 */
export async function rehearse(
  invoke: (request: InvokeRequest) => Promise<InvokeResponse>,
  requests: readonly InvokeRequest[],
  budgetMs: number,
): Promise<Rehearsal> {
  const began = performance.now();
  const rounds: number[] = [];
  while (rounds.length < MAX_ROUNDS && getsFaster(rounds)) {
    if (rounds.length > 0 && performance.now() - began >= budgetMs) break;
    const repeated = rounds.length > 0;
    let milliseconds = 0;
    for (const request of requests) {
      const asked = performance.now();
      const response = await invoke(request);
      milliseconds += response.report?.durationMs ?? performance.now() - asked;
      const when = repeated ? `, when it was asked for the ${ordinal(rounds.length + 1)} time` : "";
      requireAnswer(request, response, when, repeated ? REMEDY : "");
    }
    rounds.push(milliseconds);
  }
  return rounds;
}

/** How a rehearsal went, for the log of the deploy. */
export function describeRehearsal(rounds: Rehearsal): string {
  const [first = 0, last = 0] = [rounds.at(0), rounds.at(-1)];
  return `The samples were answered ${rounds.length} times before the snapshot: in ${first.toFixed(1)} ms at first, in ${last.toFixed(1)} ms in the end.`;
}

function ordinal(number: number): string {
  const suffixes = { one: "st", two: "nd", few: "rd", other: "th" } as const;
  const rule = new Intl.PluralRules("en", { type: "ordinal" }).select(number);
  return `${number}${suffixes[rule as keyof typeof suffixes]}`;
}
