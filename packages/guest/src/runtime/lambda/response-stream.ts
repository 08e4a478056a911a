import { Writable } from "node:stream";
import type { Header } from "@firn/protocol";
import type { PayloadReader } from "../http/answer.ts";
import { readStatus } from "../http/function-url-result.ts";
import { fromHeaderFields } from "../http/headers.ts";

/** What AWS Lambda calls the stream of a function that says status and headers itself. */
const INTEGRATION_TYPE = "application/vnd.awslambda.http-integration-response";

/** What separates status and headers from the body, for those who read the stream itself. */
const DELIMITER = new Uint8Array(8);

/** A piece that waits to be read. */
interface Written {
  readonly piece: Uint8Array;
  readonly taken: () => void;
}

/**
 * The stream that a handler of `awslambda.streamifyResponse` writes its answer to. As on AWS Lambda it is a Writable that takes text,
 * bytes, and other values as JSON.
 */
export class ResponseStream extends Writable implements PayloadReader {
  readonly #began = Promise.withResolvers<void>();
  #contentType: string | undefined;
  #metadata: Readonly<Record<string, unknown>> | undefined;
  #written: Written | undefined;
  #finished = false;
  #discards = false;
  #returned = false;
  /** The handler, once it was called. */
  #handled: Promise<unknown> = Promise.resolve();
  #wake: () => void = () => {};

  /** @param highWaterMark As of a Writable, in bytes. */
  constructor(highWaterMark: number | undefined) {
    super({ decodeStrings: true, ...(highWaterMark === undefined ? {} : { highWaterMark }) });
    this.#began.promise.catch(() => {});
    // Whoever reads is told, and the handler too if it listens.
    this.on("error", () => {});
  }

  /** Resolves when the answer has begun; rejects if it failed before. */
  get began(): Promise<void> {
    return this.#began.promise;
  }

  /** Sets the media type of the answer. */
  setContentType(type: string): void {
    this.#contentType = String(type);
  }

  /** Sets status, headers and cookies of the answer, before its first byte. */
  setMetadata(metadata: Readonly<Record<string, unknown>>): void {
    if (this.writableLength > 0 || this.#written !== undefined || this.#finished) {
      throw new Error("Call awslambda.HttpResponseStream.from() before the first write.");
    }
    this.#metadata = metadata;
  }

  /** Follows the handler: what it throws breaks the answer off. */
  follow(handled: Promise<unknown>): void {
    this.#handled = handled;
    handled.then(
      () => {
        this.#returned = true;
      },
      () => {},
    );
    handled.catch((error: unknown) => this.destroy(error instanceof Error ? error : wrapped(error)));
  }

  /** What the author may have forgotten, if the answer does not end. */
  get lateHint(): string | undefined {
    const isForgotten = this.#returned && !this.writableEnded;
    return isForgotten
      ? "Its handler has returned, but has not ended the response stream: call responseStream.end()."
      : undefined;
  }

  /** Status and headers as HTTP has them. @throws {TypeError} saying what of them HTTP cannot carry. */
  httpHead(): { status: number; headers: Header[] } {
    const { statusCode = 200, ...rest } = this.#metadata ?? {};
    const headers = fromHeaderFields(rest);
    const isTyped = headers.some(({ name }) => name === "content-type");
    const type = { name: "content-type", value: this.#contentType ?? "application/octet-stream" };
    return { status: readStatus(statusCode), headers: isTyped ? headers : [...headers, type] };
  }

  /** Headers and first bytes for those who read the stream itself. */
  eventHead(): { headers: Header[]; prelude: Uint8Array } {
    const type = this.#metadata === undefined ? this.#contentType : INTEGRATION_TYPE;
    const headers = [{ name: "content-type", value: type ?? "application/octet-stream" }];
    const prelude =
      this.#metadata === undefined
        ? new Uint8Array()
        : Buffer.concat([Buffer.from(JSON.stringify(this.#metadata)), DELIMITER]);
    return { headers, prelude };
  }

  /** As of a Writable; values that are neither text nor bytes are written as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: the overloads of Writable
  override write(chunk: any, ...rest: any[]): boolean {
    return super.write(toChunk(chunk), ...(rest as []));
  }

  /** As of a Writable. */
  // biome-ignore lint/suspicious/noExplicitAny: the overloads of Writable
  override end(chunk?: any, ...rest: any[]): this {
    return super.end(isLastChunk(chunk) ? toChunk(chunk) : chunk, ...(rest as []));
  }

  override _write(chunk: Uint8Array, _encoding: string, taken: () => void): void {
    this.#began.resolve();
    if (this.#discards) {
      taken();
      return;
    }
    this.#written = { piece: chunk, taken };
    this.#wake();
  }

  override _final(done: () => void): void {
    this.#began.resolve();
    this.#finished = true;
    this.#wake();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#finished) {
      this.#began.reject(error ?? new Error("The response stream was destroyed before it was ended."));
    }
    this.#wake();
    done(error);
  }

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const written = this.#written;
      if (written !== undefined) {
        this.#written = undefined;
        written.taken();
        if (!this.#discards) return written.piece;
      } else if (this.#finished) {
        await this.#handled;
        return undefined;
      } else if (this.destroyed) {
        throw this.errored ?? new Error("The response stream was destroyed before it was ended.");
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  /** Nobody takes the answer: the handler writes on, into the void. */
  cancel(): void {
    this.#discards = true;
    const written = this.#written;
    this.#written = undefined;
    written?.taken();
    this.#wake();
  }
}

function isLastChunk(chunk: unknown): boolean {
  return chunk !== undefined && chunk !== null && typeof chunk !== "function";
}

function toChunk(chunk: unknown): string | Uint8Array {
  if (typeof chunk === "string" || chunk instanceof Uint8Array) return chunk;
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  // What is no JSON gets the usual error.
  return chunk === null || chunk === undefined ? (chunk as unknown as string) : JSON.stringify(chunk);
}

function wrapped(thrown: unknown): Error {
  return new Error(`The handler threw what is no error: ${String(thrown)}`, { cause: thrown });
}
