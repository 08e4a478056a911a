/**
 * Lets any number of tasks run side by side, or one alone. Tasks that run alone wait until none is running; they do not hold
 * up new ones while they wait, so that a task may start another within itself.
 */
export class SharedLock {
  #running = 0;
  #alone: Promise<unknown> | undefined;
  #waiting: (() => void)[] = [];

  /** Runs a task beside others. */
  async shared<T>(task: () => Promise<T>): Promise<T> {
    while (this.#alone !== undefined) await this.#alone;
    this.#running += 1;
    try {
      return await task();
    } finally {
      this.#running -= 1;
      if (this.#running === 0) for (const wake of this.#waiting.splice(0)) wake();
    }
  }

  /** Runs a task while no other runs. It must not start another within itself. */
  async alone<T>(task: () => Promise<T>): Promise<T> {
    while (this.#running > 0 || this.#alone !== undefined) {
      await (this.#alone ?? new Promise<void>((wake) => this.#waiting.push(wake)));
    }
    const result = task();
    this.#alone = result.catch(() => {});
    try {
      return await result;
    } finally {
      this.#alone = undefined;
    }
  }
}
