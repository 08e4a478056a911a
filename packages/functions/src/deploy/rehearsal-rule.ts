/** Most rounds of a rehearsal. */
export const MAX_ROUNDS = 20;

/** How many rounds are compared with as many before them: the median of three stands one that something else made slow. */
const WINDOW = 3;

/** The least part by which rounds must have become faster to be worth going on. */
const LEAST_GAIN = 0.05;

/**
 * Whether a function still gets faster: the median of its last three rounds is lower than that of the three before by a twentieth at
 * least. So nothing is said before the sixth round.
 *
 * @param rounds How long each round took, in any unit, the first one first.
 */
export function getsFaster(rounds: readonly number[]): boolean {
  if (rounds.length < 2 * WINDOW) return true;
  const before = median(rounds.slice(-2 * WINDOW, -WINDOW));
  return median(rounds.slice(-WINDOW)) < (1 - LEAST_GAIN) * before;
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}
