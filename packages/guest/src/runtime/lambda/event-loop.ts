/** What keeps the event loop alive, or not. */
interface Holder {
  ref(): void;
  unref(): void;
}

/** Tells when nothing of the function is left to happen: no timer, no socket, no child process. */
export class EventLoop {
  readonly #holder: Holder;
  readonly #waiting = new Set<() => void>();

  /** @param holder The one thing of the runtime's own that keeps the loop alive. */
  constructor(holder: Holder) {
    this.#holder = holder;
  }

  /** Resolves when the event loop is empty, or never if the signal is aborted before. */
  whenEmpty(signal: AbortSignal): Promise<void> {
    if (this.#waiting.size === 0) {
      this.#holder.unref();
      process.once("beforeExit", this.#onEmpty);
    }
    return new Promise((resolve) => {
      const waiter = () => resolve();
      this.#waiting.add(waiter);
      signal.addEventListener("abort", () => this.#forget(waiter), { once: true });
    });
  }

  readonly #onEmpty = (): void => {
    this.#holder.ref();
    const waiters = [...this.#waiting];
    this.#waiting.clear();
    for (const waiter of waiters) waiter();
  };

  #forget(waiter: () => void): void {
    if (!this.#waiting.delete(waiter) || this.#waiting.size > 0) return;
    process.off("beforeExit", this.#onEmpty);
    this.#holder.ref();
  }
}
