import { type Draw, POOL_BYTES } from "./draws.ts";

/** Something in the function that clones of the snapshot will share although they should not. */
export interface Warning {
  readonly code: string;
  /** What, and what to do. */
  readonly message: string;
}

/** How many callers are named. */
const NAMED = 8;

/** What to say at deploy of what was drawn before the snapshot; nothing if nothing was. */
export function warningOf(draws: readonly Draw[], isRefilled: boolean): Warning | undefined {
  const kept = draws.filter(({ bytes }) => !isRefilled || bytes < POOL_BYTES);
  if (kept.length === 0) return undefined;
  // Those that most likely are kept, and matter most, first.
  const sorted = kept.toSorted((one, other) => other.bytes - one.bytes || rank(one) - rank(other));
  const named = sorted.slice(0, NAMED).map(describe).join(", ");
  const more = kept.length > NAMED ? ` and ${kept.length - NAMED} more` : "";
  return {
    code: "FIRN_RANDOM_BEFORE_SNAPSHOT",
    message:
      `Random values were drawn before the snapshot; what the function keeps of them is the same in all clones: ${named}${more}. ` +
      "Draw ids, tokens, keys and seeds in afterRestore() or in the request that needs them. " +
      "For the pools of libraries call refillRandomPools() when the module is imported, or leave out of warmUp() what fills them.",
  };
}

function rank({ source }: Draw): number {
  return source === "Math.random" ? 1 : 0;
}

function describe({ source, caller, bytes }: Draw): string {
  return `${caller} (${source}${bytes >= POOL_BYTES ? `, a pool of ${bytes} bytes` : ""})`;
}
