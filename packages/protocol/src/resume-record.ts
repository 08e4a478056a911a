import { randomBytes } from "node:crypto";
import type { ResumeRecord } from "./messages.ts";

/** Size of {@link ResumeRecord.generation} in bytes. */
export const GENERATION_BYTES = 16;

/** Size of {@link ResumeRecord.entropy} in bytes. */
export const ENTROPY_BYTES = 64;

/**
 * Makes the record for one resume: a fresh generation, fresh entropy, and the wall clock of this moment. Make it as late as
 * possible, and never send one twice: two clones that got the same record draw the same random numbers.
 *
 * @param environment Variables to set in the function's process.
 */
export function createResumeRecord(environment: Readonly<Record<string, string>> = {}): ResumeRecord {
  // One draw each, not randomUUID: that one hands out ids from a cache.
  const generation = new Uint8Array(randomBytes(GENERATION_BYTES));
  const entropy = new Uint8Array(randomBytes(ENTROPY_BYTES));
  const { seconds, nanoseconds } = wallClock();
  return { generation, entropy, clockSeconds: seconds, clockNanoseconds: nanoseconds, environment };
}

/** The wall clock to the microsecond. Date.now(), which follows steps of the clock, vouches for it to the millisecond. */
function wallClock(): { seconds: number; nanoseconds: number } {
  const milliseconds = Date.now();
  const precise = performance.timeOrigin + performance.now();
  const chosen = Math.abs(precise - milliseconds) < 2 ? precise : milliseconds;
  const seconds = Math.floor(chosen / 1000);
  return { seconds, nanoseconds: Math.floor((chosen - seconds * 1000) * 1000) * 1000 };
}
