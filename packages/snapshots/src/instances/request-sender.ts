import { type HostMessage, INITIAL_CREDIT_BYTES, MAX_CHUNK_BYTES } from "@firn/protocol";
import type { InvokeRequest } from "./invocation.ts";

/** Most credit that a guest can pile up: what it grants beyond is as good as unlimited. */
const MAX_CREDIT_BYTES = 1024 * 1024;

/** Sends what of a request's payload is not in its first message, as the guest takes it and as it arrives. */
export class RequestSender {
  readonly #id: number;
  readonly #send: (message: HostMessage) => void;
  #credit: number;
  #stopped = false;
  #wake: () => void = () => {};

  constructor(id: number, send: (message: HostMessage) => void, sent: number) {
    this.#id = id;
    this.#send = send;
    this.#credit = INITIAL_CREDIT_BYTES - sent;
  }

  /** The guest takes so many bytes more. */
  grant(bytes: number): void {
    this.#credit = Math.min(this.#credit + bytes, MAX_CREDIT_BYTES);
    this.#wake();
  }

  /** Nothing more is sent. */
  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  /** Sends everything, unless it is stopped. Rejects if what comes after the payload cannot be read. */
  async run({ payload, rest }: InvokeRequest): Promise<void> {
    const left = payload.subarray(INITIAL_CREDIT_BYTES);
    if (left.length > 0 && !(await this.#sendPiece(left, rest === undefined))) return;
    if (rest === undefined) return;
    for await (const piece of rest) {
      if (!(await this.#sendPiece(piece, false))) return;
    }
    if (!this.#stopped) this.#sendChunk(new Uint8Array(), true);
  }

  /** Returns whether all of it was sent. */
  async #sendPiece(piece: Uint8Array, last: boolean): Promise<boolean> {
    for (let left = piece; left.length > 0; ) {
      while (this.#credit === 0 && !this.#stopped) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      if (this.#stopped) return false;
      const data = left.subarray(0, Math.min(this.#credit, MAX_CHUNK_BYTES));
      this.#credit -= data.length;
      left = left.subarray(data.length);
      this.#sendChunk(data, last && left.length === 0);
    }
    return !this.#stopped;
  }

  #sendChunk(data: Uint8Array, last: boolean): void {
    this.#send({ type: "payloadChunk", id: this.#id, data, last });
  }
}
