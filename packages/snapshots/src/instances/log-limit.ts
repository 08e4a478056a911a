/** What one microVM may log at once, in bytes. */
const BURST_BYTES = 4 * 1024 * 1024;
/** What it may log in the long run, in bytes a second. */
export const LOG_BYTES_PER_SECOND: number = 1024 * 1024;
/** What a line counts beside its text: what is written around it. */
const LINE_BYTES = 256;

/** Keeps a guest that prints without end from filling the host's log. Lines are logged or dropped as a whole. */
export class LogLimit {
  readonly #now: () => number;
  #allowance: number = BURST_BYTES;
  #filledAt: number;
  #dropped = 0;

  /** @param now A clock in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#filledAt = now();
  }

  /** Whether a line with a text of this many bytes is to be logged; else it counts as dropped. */
  admits(bytes: number): boolean {
    this.#fill();
    const cost = bytes + LINE_BYTES;
    if (cost > this.#allowance) {
      this.#dropped += 1;
      return false;
    }
    this.#allowance -= cost;
    return true;
  }

  /** How many lines were dropped since this was last asked. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }

  #fill(): void {
    const now = this.#now();
    const earned = ((now - this.#filledAt) * LOG_BYTES_PER_SECOND) / 1000;
    this.#allowance = Math.min(this.#allowance + earned, BURST_BYTES);
    this.#filledAt = now;
  }
}
