import { INITIAL_CREDIT_BYTES } from "@firn/protocol";

/** The host is granted further bytes in steps of this size: each message costs more than a few bytes are worth. */
const CREDIT_STEP_BYTES = INITIAL_CREDIT_BYTES / 2;

/** The payload of a request, as it arrives. Credit is granted for what has been read. */
export class RequestPayload {
  readonly #grant: (bytes: number) => void;
  readonly #pieces: Uint8Array[] = [];
  #complete: boolean;
  /** What was read, and no credit granted for. */
  #ungranted = 0;
  #failure: { readonly error: unknown } | undefined;
  #wake: () => void = () => {};

  /**
   * @param first What has arrived with the invocation.
   * @param complete Whether that is all of it.
   * @param grant Lets the host send as many bytes more.
   */
  constructor(first: Uint8Array, complete: boolean, grant: (bytes: number) => void) {
    this.#grant = grant;
    this.#complete = complete;
    if (first.length > 0) this.#pieces.push(first);
  }

  /** Whether nothing more is to come. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Takes a further piece. */
  push(data: Uint8Array, last: boolean): void {
    if (data.length > 0) this.#pieces.push(data);
    this.#complete ||= last;
    this.#wake();
  }

  /** Nothing more comes, for this reason. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }

  /** The next piece; `undefined` after the last one. One call at a time. Rejects if the payload broke off. */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
        this.#consumed(piece.length);
        return piece;
      }
      if (this.#complete) return undefined;
      if (this.#failure !== undefined) throw this.#failure.error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #consumed(bytes: number): void {
    this.#ungranted += bytes;
    if (this.#complete || this.#ungranted < CREDIT_STEP_BYTES) return;
    this.#grant(this.#ungranted);
    this.#ungranted = 0;
  }

  /** All of it; `undefined` if that is more than so many bytes. */
  async whole(limit: number = Number.POSITIVE_INFINITY): Promise<Uint8Array | undefined> {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for (let piece = await this.read(); piece !== undefined; piece = await this.read()) {
      bytes += piece.length;
      if (bytes > limit) return undefined;
      pieces.push(piece);
    }
    return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
  }

  /** As the body of a Request. */
  stream(): ReadableStream<Uint8Array> {
    return new ReadableStream(
      {
        type: "bytes",
        pull: async (controller) => {
          const piece = await this.read();
          if (piece !== undefined) {
            controller.enqueue(new Uint8Array(piece));
            return;
          }
          controller.close();
          // A reader that brought its own buffer is told apart.
          controller.byobRequest?.respond(0);
        },
      },
      // Nothing is asked for before the function reads.
      { highWaterMark: 0 },
    );
  }
}
