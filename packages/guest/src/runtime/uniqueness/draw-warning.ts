import { namePlaces, type Warning } from "../warning.ts";
import type { Draw } from "./draws.ts";

/** What to say at deploy of what was drawn before the snapshot; nothing if nothing was. */
export function warningOf(draws: readonly Draw[]): Warning | undefined {
  if (draws.length === 0) return undefined;
  // Those that matter most first.
  const sorted = draws.toSorted((one, other) => rank(one) - rank(other));
  const named = namePlaces(sorted.map(({ source, caller }) => `${caller} (${source})`));
  return {
    code: "FIRN_RANDOM_BEFORE_SNAPSHOT",
    message:
      `Random values were drawn before the snapshot; what the function keeps of them is the same in all clones: ${named}. ` +
      "Draw ids, tokens, keys and seeds in afterRestore() or in each request that needs them, and leave out of warmUp() what draws them. " +
      "Samples are answered before the snapshot, too: keep nothing that was drawn while context.rehearsal is true.",
  };
}

function rank({ source }: Draw): number {
  return source === "Math.random" ? 1 : 0;
}
