/** As many bytes are kept to be read again: a function has asked for none of them before it was called. */
const KEPT_BYTES = 256 * 1024;

/**
 * The rest of a request that may have to be sent twice: an instance may end before it is given the request, which another one gets then.
 * Whoever iterates anew begins at the beginning, unless a function has read on by then.
 */
export class ReplayableBody implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #kept: Uint8Array[] = [];
  #keptBytes = 0;
  /** Number of the first piece that is kept. */
  #first = 0;
  #isAtEnd = false;
  #pulling: Promise<void> | undefined;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (let index = 0; ; index += 1) {
      while (index >= this.#first + this.#kept.length) {
        if (this.#isAtEnd) return;
        this.#pulling ??= this.#pull();
        await this.#pulling;
      }
      const piece = this.#kept[index - this.#first];
      if (piece === undefined)
        throw new Error("The body of the request has been read: it cannot be sent again.");
      yield piece;
    }
  }

  async #pull(): Promise<void> {
    try {
      const { done, value } = await this.#source.next();
      if (done === true) {
        this.#isAtEnd = true;
        return;
      }
      this.#kept.push(value);
      this.#keptBytes += value.length;
      while (this.#keptBytes > KEPT_BYTES && this.#kept.length > 1) {
        this.#keptBytes -= this.#kept.shift()?.length ?? 0;
        this.#first += 1;
      }
    } finally {
      this.#pulling = undefined;
    }
  }
}
