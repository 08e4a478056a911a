import {
  type HostMessage,
  INITIAL_CREDIT_BYTES,
  type Invoke,
  type InvokeEnd,
  type InvokeRefused,
  type PayloadChunk,
  type ResponseHead,
} from "@firn/protocol";
import { SnapshotError } from "../errors.ts";
import {
  errorPayload,
  type InvokeOutcome,
  type InvokeRequest,
  type InvokeResponse,
  reportOf,
} from "./invocation.ts";
import { PieceQueue } from "./piece-queue.ts";
import { RequestSender } from "./request-sender.ts";

/** Largest whole response when the caller does not say, in bytes. */
const DEFAULT_RESPONSE_LIMIT_BYTES = 64 * 1024 * 1024;

/** Largest response that is written piece by piece when the caller does not say, in bytes: that of AWS Lambda. */
const DEFAULT_STREAM_LIMIT_BYTES = 200 * 1024 * 1024;

/**
 * The guest is granted further bytes in steps of this size, not for each piece: a response that is within its first credit needs no
 * message, each of which would cost the guest eight exits.
 */
const CREDIT_STEP_BYTES = INITIAL_CREDIT_BYTES / 2;

const JSON_HEADERS = [{ name: "content-type", value: "application/json" }];

/** The name of the error of a response that is too long, as AWS Lambda has it. */
const TOO_LARGE = "Function.ResponseSizeTooLarge";

/** Makes the message that begins an invocation. What of the payload is not in it is sent by the {@link Exchange}. */
export function invokeMessage(id: number, request: InvokeRequest): { type: "invoke" } & Invoke {
  const { requestId, timeoutMs, http, traceId, clientContext, functionVersion, functionArn, rehearsal } =
    request;
  const payload = request.payload.subarray(0, INITIAL_CREDIT_BYTES);
  return {
    type: "invoke",
    id,
    requestId,
    timeoutMs,
    payload,
    more: payload.length < request.payload.length || request.rest !== undefined,
    kind: http === undefined ? "event" : "http",
    ...http,
    ...(traceId === undefined ? {} : { traceId }),
    ...(clientContext === undefined ? {} : { clientContext }),
    ...(functionVersion === undefined ? {} : { functionVersion }),
    ...(functionArn === undefined ? {} : { functionArn }),
    ...(rehearsal === undefined ? {} : { rehearsal }),
  };
}

/** The beginning of a response. */
export type OpenedResponse = Omit<ResponseHead, "payload">;

/** One invocation on its way: the rest of the request out, as the guest takes it, and the response in, as it is read. */
export class Exchange {
  readonly #id: number;
  readonly #send: (message: HostMessage) => void;
  readonly #request: InvokeRequest;
  readonly #sender: RequestSender;
  readonly #opened = Promise.withResolvers<OpenedResponse>();
  readonly #ended = Promise.withResolvers<InvokeOutcome>();
  readonly #pieces = new PieceQueue();
  #head: OpenedResponse | undefined;
  #outcome: InvokeOutcome | undefined;
  #received = 0;
  #limitBytes = 0;
  /** What the guest may send. */
  #credit = INITIAL_CREDIT_BYTES;
  /** What of it the guest was not given new credit for. */
  #ungranted = 0;
  /** Whether all of the payload is here. */
  #complete = false;
  /** Why no more of the payload can be read. */
  #failure: { readonly error: unknown } | undefined;
  #tooLarge = false;
  #isDiscarding = false;
  #response: Promise<InvokeResponse> | undefined;
  #wake: () => void = () => {};

  constructor(id: number, request: InvokeRequest, send: (message: HostMessage) => void) {
    this.#id = id;
    this.#send = send;
    this.#request = request;
    this.#sender = new RequestSender(id, send, Math.min(request.payload.length, INITIAL_CREDIT_BYTES));
    this.#opened.promise.catch(() => {});
    this.#ended.promise.catch(() => {});
    this.#sender.run(request).catch((error: unknown) => {
      // Its function hears that its caller has gone.
      this.#cancel();
      this.breakOff(error);
    });
  }

  /** How the response begins. Rejects if the rest of the request cannot be read, or after {@link breakOff}. */
  get opened(): Promise<OpenedResponse> {
    return this.#opened.promise;
  }

  /** How the invocation ended. Rejects with what {@link fail} was given, or if the function was not called. */
  get ended(): Promise<InvokeOutcome> {
    return this.#ended.promise;
  }

  /** The whole response, for callers who read nothing else of it. */
  get response(): Promise<InvokeResponse> {
    this.#response ??= this.collect();
    this.ended.catch((error: unknown) => this.breakOff(error));
    return this.#response;
  }

  /**
   * The next piece of the payload; `undefined` at its end. One call at a time. Rejects with FIRN_RESPONSE_BROKEN if the function failed
   * after its response had begun, or after {@link breakOff}.
   */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
        this.#grant(piece.length);
        return piece;
      }
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#complete) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Reads all of the response. One that broke off is an error of its function. */
  async collect(): Promise<InvokeResponse> {
    const { status, headers } = await this.opened;
    const limit = this.#request.responseLimitBytes ?? DEFAULT_RESPONSE_LIMIT_BYTES;
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    try {
      for (let piece = await this.read(); piece !== undefined; piece = await this.read()) {
        bytes += piece.length;
        if (bytes > limit) this.#giveUp(limit);
        else pieces.push(piece);
      }
    } catch (error) {
      if (!(error instanceof SnapshotError && error.code === "FIRN_RESPONSE_BROKEN")) throw error;
      const { errorType, errorMessage, report } = await this.ended;
      const payload = errorPayload(errorType, errorMessage);
      return { status: 500, headers: JSON_HEADERS, payload, functionError: "Unhandled", report };
    }
    const payload = pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
    // The function may work on.
    const { functionError = "", report } = this.#outcome ?? {};
    return { status, headers, payload, functionError, ...(report === undefined ? {} : { report }) };
  }

  /** Asks the function to give up. Nothing more of the request is sent. */
  cancel(): void {
    if (!this.#complete) this.#cancel();
  }

  /** Nobody reads the response any more: the function is asked to give up, and what it sends all the same is dropped. */
  discard(): void {
    this.#isDiscarding = true;
    this.#pieces.clear();
    this.cancel();
  }

  /** The guest takes more of the request. */
  grant(bytes: number): void {
    this.#sender.grant(bytes);
  }

  begin({ payload, ...head }: ResponseHead): void {
    if (this.#head !== undefined) throw new Error("it began an answer twice");
    this.#head = head;
    const { responseLimitBytes, streamLimitBytes } = this.#request;
    this.#limitBytes = head.streams
      ? (streamLimitBytes ?? DEFAULT_STREAM_LIMIT_BYTES)
      : (responseLimitBytes ?? DEFAULT_RESPONSE_LIMIT_BYTES);
    this.#receive(payload);
    this.#opened.resolve(head);
  }

  push({ data, last }: PayloadChunk): void {
    if (this.#head === undefined) throw new Error("it sent a piece of an answer that it had not begun");
    this.#receive(data);
    if (last) this.#finish();
  }

  end(end: InvokeEnd): void {
    const { functionError } = end;
    let { errorType, errorMessage } = end;
    if (this.#tooLarge) {
      [errorType, errorMessage] = [TOO_LARGE, tooLargeMessage(this.#limitBytes)];
    } else if (this.#head === undefined) {
      errorType ||= "Runtime.NoResponse";
      errorMessage ||= "The function sent no response.";
    }
    const isBroken = errorType !== "";
    const outcome = {
      functionError: isBroken ? "Unhandled" : functionError,
      errorType,
      errorMessage,
      report: reportOf(end),
    };
    this.#outcome = outcome;
    this.#sender.stop();
    if (this.#head === undefined) {
      const head = { id: this.#id, status: 500, headers: JSON_HEADERS, streams: false };
      this.#head = head;
      this.#pieces.push(errorPayload(errorType, errorMessage));
      this.#finish();
      this.#opened.resolve(head);
    } else if (isBroken && !this.#complete) {
      this.breakOff(brokenResponse(errorType, errorMessage));
    } else {
      this.#finish();
    }
    this.#ended.resolve(outcome);
  }

  refuse({ code, message }: InvokeRefused): void {
    const text = `The function was not called: ${message} (${code}) Call it in another instance.`;
    this.fail(new SnapshotError("FIRN_INSTANCE_ENDED", text));
  }

  /** The invocation has no end: the connection or the guest has failed. Whoever reads hears of it by {@link breakOff}. */
  fail(error: unknown): void {
    this.#sender.stop();
    this.#ended.reject(error);
  }

  /** No more of the response can be read, for this reason. */
  breakOff(error: unknown): void {
    this.#failure ??= { error };
    this.#opened.reject(error);
    this.#wake();
  }

  #receive(data: Uint8Array): void {
    if (data.length > this.#credit) throw new Error("it sent more of an answer than it had credit for");
    this.#credit -= data.length;
    if (this.#isDiscarding || this.#tooLarge || this.#complete) {
      this.#grant(data.length);
      return;
    }
    this.#received += data.length;
    if (this.#received > this.#limitBytes) {
      this.#giveUp(this.#limitBytes);
      return;
    }
    this.#pieces.push(data);
    this.#wake();
  }

  /** The response is too long: the function is asked to give up. */
  #giveUp(limitBytes: number): void {
    if (this.#tooLarge) return;
    this.#tooLarge = true;
    this.#limitBytes = limitBytes;
    this.#cancel();
    this.breakOff(brokenResponse(TOO_LARGE, tooLargeMessage(limitBytes)));
  }

  #finish(): void {
    this.#complete = true;
    this.#wake();
  }

  #cancel(): void {
    this.#sender.stop();
    if (this.#outcome === undefined) this.#send({ type: "cancelInvoke", id: this.#id });
  }

  #grant(bytes: number): void {
    this.#ungranted += bytes;
    if (this.#ungranted < CREDIT_STEP_BYTES || this.#outcome !== undefined) return;
    this.#send({ type: "credit", id: this.#id, bytes: this.#ungranted });
    this.#credit += this.#ungranted;
    this.#ungranted = 0;
  }
}

function tooLargeMessage(limitBytes: number): string {
  return `The response is longer than ${limitBytes} bytes.`;
}

function brokenResponse(errorType: string, errorMessage: string): SnapshotError {
  const text = `The function failed after its response had begun: ${errorType}: ${errorMessage}`;
  return new SnapshotError("FIRN_RESPONSE_BROKEN", text);
}
