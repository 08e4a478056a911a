import { ProtocolError } from "./errors.ts";
import { FRAME_PREFIX_BYTES, MAX_MESSAGE_BYTES } from "./frame.ts";

/** Chunks from this size on are kept as they came. */
const LARGE_CHUNK_BYTES = 32 * 1024;

/**
 * Cuts a byte stream into messages, whatever the sizes of the chunks it arrives in. Memory in use is bounded by what has
 * arrived, byte by byte or at once: a forged length reserves nothing.
 *
 * @example
 * ```ts
 * const decoder = new FrameDecoder();
 * socket.on("data", (chunk) => {
 *   for (const message of decoder.push(chunk)) handle(decodeGuestMessage(message));
 * });
 * socket.on("end", () => decoder.end());
 * ```
 */
export class FrameDecoder {
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  #failed = false;

  /** Bytes of an unfinished frame. 0 means that the stream is at a frame boundary. */
  get pendingBytes(): number {
    return this.#buffered;
  }

  /**
   * Takes the next bytes of the stream. The decoder may keep a reference to `chunk` until the frames in it are complete.
   *
   * @returns The messages that are now complete, without their length prefix, in order.
   * @throws {ProtocolError} FIRN_PROTOCOL if a frame announces more than 16 MiB. The decoder refuses everything after that.
   */
  push(chunk: Uint8Array): Uint8Array[] {
    if (this.#failed)
      throw new ProtocolError("The stream was given up after an invalid frame. Close the connection.");
    if (chunk.length > 0) this.#append(chunk);
    this.#buffered += chunk.length;
    const messages: Uint8Array[] = [];
    while (this.#buffered >= FRAME_PREFIX_BYTES) {
      const length = this.#peekLength();
      if (length > MAX_MESSAGE_BYTES) {
        this.#failed = true;
        this.#chunks = [];
        throw new ProtocolError(
          `A frame announces ${length} bytes, more than the ${MAX_MESSAGE_BYTES} that are allowed. Close the connection.`,
        );
      }
      if (this.#buffered < FRAME_PREFIX_BYTES + length) break;
      this.#take(FRAME_PREFIX_BYTES);
      messages.push(this.#take(length));
    }
    return messages;
  }

  /**
   * Says that the stream has ended.
   *
   * @throws {ProtocolError} FIRN_PROTOCOL if it ended inside a frame.
   */
  end(): void {
    if (this.#buffered > 0) {
      throw new ProtocolError(
        `The stream ended ${this.#buffered} bytes into a frame: the peer died or was cut off.`,
      );
    }
  }

  /**
   * A peer that sends byte by byte would have a chunk kept for each. Small ones are joined, always two of about the same size, so
   * that few are left and no byte is copied more often than there are doublings.
   */
  #append(chunk: Uint8Array): void {
    let last = chunk;
    for (;;) {
      const before = this.#chunks.at(-1);
      const isSmall = before !== undefined && before.length <= last.length && last.length < LARGE_CHUNK_BYTES;
      if (!isSmall) break;
      this.#chunks.pop();
      const joined = new Uint8Array(before.length + last.length);
      joined.set(before);
      joined.set(last, before.length);
      last = joined;
    }
    this.#chunks.push(last);
  }

  #peekLength(): number {
    let length = 0;
    let position = 0;
    for (const chunk of this.#chunks) {
      for (const byte of chunk) {
        length += byte * 2 ** (8 * position);
        position += 1;
        if (position === FRAME_PREFIX_BYTES) return length;
      }
    }
    return length;
  }

  /** Removes `count` buffered bytes; the caller has checked that they are there. */
  #take(count: number): Uint8Array {
    this.#buffered -= count;
    const first = this.#chunks[0];
    if (first !== undefined && first.length > count) {
      this.#chunks[0] = first.subarray(count);
      return first.subarray(0, count);
    }
    const taken = new Uint8Array(count);
    let filled = 0;
    let consumed = 0;
    for (const chunk of this.#chunks) {
      const part = chunk.subarray(0, count - filled);
      taken.set(part, filled);
      filled += part.length;
      if (part.length < chunk.length) {
        this.#chunks[consumed] = chunk.subarray(part.length);
        break;
      }
      consumed += 1;
      if (filled === count) break;
    }
    this.#chunks.splice(0, consumed);
    return taken;
  }
}
