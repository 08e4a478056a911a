import {
  type HostMessage,
  INITIAL_CREDIT_BYTES,
  type Invoke,
  type InvokeEnd,
  type InvokeRefused,
  MAX_CHUNK_BYTES,
  type PayloadChunk,
  type ResponseHead,
} from "@firn/protocol";
import { SnapshotError } from "../errors.ts";
import { errorPayload, type InvokeRequest, type InvokeResponse, reportOf } from "./invocation.ts";

/** Largest response that is collected when the caller does not say, in bytes. */
const DEFAULT_RESPONSE_LIMIT_BYTES = 64 * 1024 * 1024;

/** Most credit that a guest can pile up: what it grants beyond is as good as unlimited. */
const MAX_CREDIT_BYTES = 1024 * 1024;

/**
 * The guest is granted further bytes in steps of this size, not for each piece: a response that is within its first credit needs no
 * message, each of which would cost the guest eight exits.
 */
const CREDIT_STEP_BYTES = INITIAL_CREDIT_BYTES / 2;

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
    more: payload.length < request.payload.length,
    kind: http === undefined ? "event" : "http",
    ...http,
    ...(traceId === undefined ? {} : { traceId }),
    ...(clientContext === undefined ? {} : { clientContext }),
    ...(functionVersion === undefined ? {} : { functionVersion }),
    ...(functionArn === undefined ? {} : { functionArn }),
    ...(rehearsal === undefined ? {} : { rehearsal }),
  };
}

/** One invocation on its way: the rest of the request out, as the guest takes it, and the response in. */
export class Exchange {
  readonly #id: number;
  readonly #send: (message: HostMessage) => void;
  readonly #limitBytes: number;
  readonly #result = Promise.withResolvers<InvokeResponse>();
  #rest: Uint8Array;
  #credit = 0;
  #head: ResponseHead | undefined;
  /** What has arrived of the payload, and perhaps room for more. */
  #payload: Uint8Array = new Uint8Array();
  #received = 0;
  /** What of it the guest was not given new credit for. */
  #ungranted = 0;

  constructor(id: number, request: InvokeRequest, send: (message: HostMessage) => void) {
    this.#id = id;
    this.#send = send;
    this.#limitBytes = request.responseLimitBytes ?? DEFAULT_RESPONSE_LIMIT_BYTES;
    this.#rest = request.payload.subarray(INITIAL_CREDIT_BYTES);
    this.#result.promise.catch(() => {});
  }

  /** The whole response. */
  get response(): Promise<InvokeResponse> {
    return this.#result.promise;
  }

  /** Asks the function to give up. Nothing more of the request is sent. */
  cancel(): void {
    this.#rest = new Uint8Array();
    this.#send({ type: "cancelInvoke", id: this.#id });
  }

  /** The guest takes more of the request. */
  grant(bytes: number): void {
    this.#credit = Math.min(this.#credit + bytes, MAX_CREDIT_BYTES);
    while (this.#credit > 0 && this.#rest.length > 0) {
      const data = this.#rest.subarray(0, Math.min(this.#credit, MAX_CHUNK_BYTES));
      this.#credit -= data.length;
      this.#rest = this.#rest.subarray(data.length);
      this.#send({ type: "payloadChunk", id: this.#id, data, last: this.#rest.length === 0 });
    }
  }

  begin(head: ResponseHead): void {
    if (this.#head !== undefined) throw new Error("it began an answer twice");
    this.#head = { ...head, payload: new Uint8Array() };
    this.#collect(head.payload);
  }

  push({ data }: PayloadChunk): void {
    if (this.#head === undefined) throw new Error("it sent a piece of an answer that it had not begun");
    this.#collect(data);
  }

  end(end: InvokeEnd): void {
    const report = reportOf(end);
    const failed = (type: string, message: string) => {
      const headers = [{ name: "content-type", value: "application/json" }];
      const payload = errorPayload(type, message);
      this.#result.resolve({ status: 500, headers, payload, functionError: "Unhandled", report });
    };
    if (this.#received > this.#limitBytes) {
      failed("Function.ResponseSizeTooLarge", `The response is longer than ${this.#limitBytes} bytes.`);
    } else if (this.#head === undefined || end.errorType !== "") {
      failed(end.errorType || "Runtime.NoResponse", end.errorMessage || "The function sent no response.");
    } else {
      const { status, headers } = this.#head;
      const payload = this.#payload.subarray(0, this.#received);
      this.#result.resolve({ status, headers, payload, functionError: end.functionError, report });
    }
  }

  refuse({ code, message }: InvokeRefused): void {
    const text = `The function was not called: ${message} (${code}) Call it in another instance.`;
    this.fail(new SnapshotError("FIRN_INSTANCE_ENDED", text));
  }

  fail(error: Error): void {
    this.#rest = new Uint8Array();
    this.#result.reject(error);
  }

  #collect(data: Uint8Array): void {
    const before = this.#received;
    this.#received += data.length;
    if (this.#received <= this.#limitBytes) {
      if (data.length === 0) return;
      this.#append(data, before);
      this.#grant(data.length);
    } else if (before <= this.#limitBytes) {
      this.#payload = new Uint8Array();
      this.cancel();
    }
  }

  #grant(bytes: number): void {
    this.#ungranted += bytes;
    if (this.#ungranted < CREDIT_STEP_BYTES) return;
    this.#send({ type: "credit", id: this.#id, bytes: this.#ungranted });
    this.#ungranted = 0;
  }

  /** A guest may send byte by byte: pieces are joined as they come, and an object is not kept for each. */
  #append(data: Uint8Array, at: number): void {
    if (at === 0) {
      this.#payload = data;
      return;
    }
    const wanted = at + data.length;
    if (this.#payload.length < wanted) {
      const grown = new Uint8Array(Math.min(Math.max(wanted, 2 * at), this.#limitBytes));
      grown.set(this.#payload.subarray(0, at));
      this.#payload = grown;
    }
    this.#payload.set(data, at);
  }
}
