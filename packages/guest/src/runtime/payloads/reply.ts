import {
  encodeRuntimeReport,
  frame,
  type Header,
  INITIAL_CREDIT_BYTES,
  MAX_CHUNK_BYTES,
} from "@firn/protocol";

/** How an answer begins. */
export interface ReplyHead {
  readonly status: number;
  readonly headers: readonly Header[];
}

/** Why an answer is not complete: name of the error's class, and its message. */
export interface Broken {
  readonly errorType: string;
  readonly errorMessage: string;
}

const CANCELLED: Broken = { errorType: "AbortError", errorMessage: "The invocation was cancelled." };
const NOT_BROKEN: Broken = { errorType: "", errorMessage: "" };

/** The answer of one invocation on its way: a head, the payload as far as the host has granted credit for it, an end. */
export class Reply {
  readonly #id: number;
  readonly #send: (bytes: Uint8Array) => Promise<void>;
  #credit = INITIAL_CREDIT_BYTES;
  /** What is sent with the next piece or the end. */
  #held: Uint8Array | undefined;
  #begun = false;
  #cancelled = false;
  #dropped = false;
  #wake: () => void = () => {};

  /** @param send Sends frames; resolves when the kernel has all of them. */
  constructor(id: number, send: (bytes: Uint8Array) => Promise<void>) {
    this.#id = id;
    this.#send = send;
  }

  /** Whether the host knows of an answer. */
  get begun(): boolean {
    return this.#begun;
  }

  /** The host takes so many bytes more. */
  grant(bytes: number): void {
    this.#credit += bytes;
    this.#wake();
  }

  /** Nobody takes the answer any more: what is written from here on is dropped. */
  cancel(): void {
    this.#cancelled = true;
    this.#wake();
  }

  /** The rest of the answer is not to come. */
  drop(): void {
    this.#dropped = true;
  }

  /**
   * Begins the answer to a request whose payload is all there. It leaves with what follows.
   *
   * @throws {ProtocolError} FIRN_PROTOCOL if its status is no number or its headers are longer than 16 MiB; it has not begun then.
   */
  async whole(head: ReplyHead, payload: Uint8Array): Promise<void> {
    const first = payload.subarray(0, INITIAL_CREDIT_BYTES);
    this.#held = this.#headFrame(head, first, false);
    this.#credit -= first.length;
    if (first.length < payload.length) await this.write(payload.subarray(first.length));
  }

  /**
   * Begins an answer that is written piece by piece, at once.
   *
   * @throws {ProtocolError} As {@link whole}.
   */
  async begin(head: ReplyHead, payload: Uint8Array): Promise<void> {
    const first = payload.subarray(0, INITIAL_CREDIT_BYTES);
    const framed = this.#headFrame(head, first, true);
    this.#credit -= first.length;
    await this.#flush(framed);
    if (first.length < payload.length) await this.write(payload.subarray(first.length));
  }

  /**
   * Writes further bytes, as the host takes them; resolves when the kernel has all of them.
   *
   * @returns Whether they were sent: `false` if nobody takes them.
   */
  async write(bytes: Uint8Array): Promise<boolean> {
    for (let left = bytes; left.length > 0; ) {
      if (this.#credit === 0 && this.#held !== undefined) await this.#flush();
      while (this.#credit === 0 && !this.#cancelled) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      if (this.#cancelled) {
        this.#dropped = true;
        return false;
      }
      const data = left.subarray(0, Math.min(this.#credit, MAX_CHUNK_BYTES));
      this.#credit -= data.length;
      left = left.subarray(data.length);
      await this.#flush(this.#chunkFrame(data, false));
    }
    return true;
  }

  /** The answer is complete, although the invocation goes on. */
  async complete(): Promise<void> {
    if (!this.#dropped) await this.#flush(this.#chunkFrame(new Uint8Array(), true));
  }

  /**
   * Ends the invocation.
   *
   * @param functionError "" unless the function failed.
   * @param broken Why the answer is not complete.
   */
  end(functionError: string, broken: Broken = this.#dropped ? CANCELLED : NOT_BROKEN): Promise<void> {
    // Whatever is still written has nowhere to go.
    this.cancel();
    const isBroken = broken.errorType !== "";
    const type = "invokeEnd";
    const error = isBroken ? "Unhandled" : functionError;
    // The agent fills in what it measures.
    const measured = { durationUs: 0, memoryPeakKib: 0, initUs: 0, restoreUs: 0 };
    return this.#flush(
      frame(encodeRuntimeReport({ type, id: this.#id, functionError: error, ...broken, ...measured })),
    );
  }

  #flush(...frames: Uint8Array[]): Promise<void> {
    const held = this.#held === undefined ? [] : [this.#held];
    this.#held = undefined;
    this.#begun = true;
    const all = [...held, ...frames];
    return this.#send(all.length === 1 ? (all[0] as Uint8Array) : Buffer.concat(all));
  }

  #headFrame({ status, headers }: ReplyHead, payload: Uint8Array, streams: boolean): Uint8Array {
    const head = { type: "responseHead", id: this.#id, status, headers, payload, streams } as const;
    return frame(encodeRuntimeReport(head));
  }

  #chunkFrame(data: Uint8Array, last: boolean): Uint8Array {
    return frame(encodeRuntimeReport({ type: "payloadChunk", id: this.#id, data, last }));
  }
}
