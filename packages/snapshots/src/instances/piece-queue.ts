/** Pieces below this are joined: a guest may send byte by byte, and an object is not kept for each. */
const SMALL_BYTES = 4 * 1024;
/** Size of the buffers in which they are joined. */
const JOINED_BYTES = 16 * 1024;

/** Bytes that arrived and were not taken. */
export class PieceQueue {
  readonly #pieces: Uint8Array[] = [];
  /** How much of the last piece is filled, if it has room for more. */
  #filled: number | undefined;

  /** Appends bytes. */
  push(data: Uint8Array): void {
    if (data.length === 0) return;
    const last = this.#pieces.at(-1);
    if (data.length >= SMALL_BYTES || last === undefined || !this.#makeRoom(last, data.length)) {
      this.#close();
      this.#pieces.push(data);
      return;
    }
    const at = this.#filled as number;
    (this.#pieces.at(-1) as Uint8Array).set(data, at);
    this.#filled = at + data.length;
  }

  /** Takes the bytes that came first, as many as are together. */
  shift(): Uint8Array | undefined {
    if (this.#pieces.length === 1) this.#close();
    return this.#pieces.shift();
  }

  /** Drops what is here. */
  clear(): void {
    this.#pieces.length = 0;
    this.#filled = undefined;
  }

  /** Makes room behind a last piece that is small. Returns whether there is. */
  #makeRoom(last: Uint8Array, bytes: number): boolean {
    if (this.#filled !== undefined) return this.#filled + bytes <= last.length;
    if (last.length >= SMALL_BYTES) return false;
    const joined = new Uint8Array(JOINED_BYTES);
    joined.set(last);
    this.#filled = last.length;
    this.#pieces[this.#pieces.length - 1] = joined;
    return true;
  }

  #close(): void {
    if (this.#filled === undefined) return;
    this.#pieces.push((this.#pieces.pop() as Uint8Array).subarray(0, this.#filled));
    this.#filled = undefined;
  }
}
