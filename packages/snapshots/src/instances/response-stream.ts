import type { Header } from "@firn/protocol";
import type { Exchange, OpenedResponse } from "./exchange.ts";
import type { InvokeOutcome, InvokeResponse } from "./invocation.ts";

/** The response of a function, as it comes. Read its {@link body}, or take it {@link whole}: one of them, once. */
export class ResponseStream {
  /** Status of a fetch handler's response; 200 for an event. */
  readonly status: number;
  readonly headers: readonly Header[];
  /** Whether the function writes it piece by piece. If not, all of it is about to come, and may be an error. */
  readonly streams: boolean;
  /**
   * How the invocation ended, which may be after the last byte: a function may work on when its response is complete. Rejects as
   * {@link Instance.invokeStream} does if the instance failed.
   */
  readonly ended: Promise<InvokeOutcome>;
  readonly #exchange: Exchange;
  #body: ReadableStream<Uint8Array> | undefined;

  /** @internal */
  constructor(
    exchange: Exchange,
    { status, headers, streams }: OpenedResponse,
    ended: Promise<InvokeOutcome>,
  ) {
    this.#exchange = exchange;
    this.status = status;
    this.headers = headers;
    this.streams = streams ?? false;
    this.ended = ended;
  }

  /**
   * The payload. It is read from the function as it is read here: a function waits for a reader that is slow. It breaks off with
   * FIRN_RESPONSE_BROKEN if the function fails. Who cancels it has the function asked to give up.
   */
  get body(): ReadableStream<Uint8Array> {
    this.#body ??= new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const piece = await this.#exchange.read();
          if (piece === undefined) controller.close();
          else controller.enqueue(piece);
        },
        cancel: () => this.#exchange.discard(),
      },
      { highWaterMark: 0 },
    );
    return this.#body;
  }

  /** The response when all of it is here. One that breaks off is an error of its function, as one that failed at once. */
  async whole(): Promise<InvokeResponse> {
    const response = await this.#exchange.collect();
    // With the report the instance is free again; without, its function works on.
    if (response.report !== undefined) await this.ended;
    return response;
  }
}
