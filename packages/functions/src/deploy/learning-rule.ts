/** Cold starts from which a working set is learnt, at most. */
export const MAX_STARTS = 10;

/** How many starts in a row must add little until no more are looked at. */
const WINDOW = 2;

/** What adds less than this part of the working set is little. */
const LITTLE = 0.02;

/** What one cold start has added to a working set, in bytes. */
export interface Lesson {
  readonly addedBytes: number;
  /** The working set with that. */
  readonly totalBytes: number;
}

/**
 * Whether the next cold start may teach something: fewer than ten have, and the last two have not both added less than a fiftieth of the
 * working set.
 *
 * @param starts How many cold starts were looked at. The first one teaches nothing, as only what two have in common counts.
 * @param lessons What those after the first have added, the first one first.
 */
export function mayTeach(starts: number, lessons: readonly Lesson[]): boolean {
  if (starts >= MAX_STARTS) return false;
  const last = lessons.slice(-WINDOW);
  return last.length < WINDOW || last.some(({ addedBytes, totalBytes }) => addedBytes >= LITTLE * totalBytes);
}
