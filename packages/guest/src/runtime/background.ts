import { logError } from "./errors/log.ts";

/** What a function left to be done when its answer is there: the promises that it gave to `waitUntil`. */
export class Background {
  readonly #requestId: string;
  readonly #pending = new Set<Promise<void>>();

  constructor(requestId: string) {
    this.#requestId = requestId;
  }

  /** Whether there is something left. */
  get busy(): boolean {
    return this.#pending.size > 0;
  }

  /** Takes a promise. One that is rejected is logged, and fails nothing. */
  readonly add = (promise: unknown): void => {
    const tracked: Promise<void> = Promise.resolve(promise)
      .then(
        () => {},
        (error: unknown) => logError(`What request ${this.#requestId} left to waitUntil() failed`, error),
      )
      .finally(() => this.#pending.delete(tracked));
    this.#pending.add(tracked);
  };

  /** Resolves when nothing is left, what was added meanwhile included. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }
}
