import { Readable } from "node:stream";
import { clearImmediate, setImmediate } from "node:timers";
import { INITIAL_CREDIT_BYTES } from "@firn/protocol";
import type { Answer, PayloadReader } from "./answer.ts";

/** A body of the Fetch standard, or a stream of Node.js as some libraries have it. */
export type BodyLike = ReadableStream<unknown> | Readable | object;

/** Reads a body; `undefined` if it is no stream. */
export function readerOf(body: BodyLike | undefined): PayloadReader | undefined {
  const stream = body instanceof Readable ? Readable.toWeb(body) : body;
  if (stream === undefined || !("getReader" in stream)) return undefined;
  const reader = (stream as ReadableStream<unknown>).getReader();
  return {
    read: async () => {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return undefined;
        const bytes = toBytes(value);
        if (bytes.length > 0) return bytes;
      }
    },
    cancel: (reason) => void reader.cancel(reason).catch(() => {}),
  };
}

/**
 * Reads what is there of a payload. One that comes to its end without waiting for anything is whole: text and bytes do, and streams that
 * have been filled and closed. Of any other one this is the beginning.
 */
export async function readAhead(reader: PayloadReader): Promise<Pick<Answer, "payload" | "rest">> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  const late = Promise.withResolvers<"late">();
  const turn = setImmediate(() => late.resolve("late"));
  try {
    for (;;) {
      const reading = reader.read();
      const piece = await Promise.race([reading, late.promise]);
      if (piece === undefined) return { payload: joined(pieces) };
      if (piece === "late") return { payload: joined(pieces), rest: withPending(reader, reading) };
      pieces.push(piece);
      bytes += piece.length;
      if (bytes > INITIAL_CREDIT_BYTES && pieces.length > 1) return { payload: joined(pieces), rest: reader };
    }
  } finally {
    clearImmediate(turn);
  }
}

/** A reader whose next piece has been asked for. */
function withPending(reader: PayloadReader, reading: Promise<Uint8Array | undefined>): PayloadReader {
  let pending: Promise<Uint8Array | undefined> | undefined = reading;
  // Whoever reads hears of it.
  reading.catch(() => {});
  return {
    read: () => {
      const next = pending ?? reader.read();
      pending = undefined;
      return next;
    },
    cancel: (reason) => reader.cancel(reason),
  };
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
}

function toBytes(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  // Of another realm.
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  const what = value === null ? "null" : typeof value;
  throw new TypeError(
    `The body of the Response gave a value of type ${what}: its stream must give bytes (Uint8Array).`,
  );
}
