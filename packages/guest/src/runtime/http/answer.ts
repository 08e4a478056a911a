import type { Header } from "@firn/protocol";

/** A payload that is written while it is read. */
export interface PayloadReader {
  /** The next piece; `undefined` after the last one. One call at a time. Rejects if it breaks off. */
  read(): Promise<Uint8Array | undefined>;
  /** Nobody wants the rest: it may be left out. What is read from now on comes to an end. */
  cancel(reason?: unknown): void;
}

/** What a function answered. */
export interface Answer {
  readonly status: number;
  readonly headers: readonly Header[];
  /** The whole payload, or what there is of it. */
  readonly payload: Uint8Array;
  /** What is to come of the payload, if that is written piece by piece. */
  readonly rest?: PayloadReader;
}

/** Statuses whose answers have no body. */
const BODYLESS_STATUSES = new Set([204, 205, 304]);

/** The headers of an answer that is JSON. */
export const JSON_HEADERS: readonly Header[] = [{ name: "content-type", value: "application/json" }];

/** An answer of the runtime itself to a request that it cannot hand to the function. */
export function refusal(status: number, text: string): Answer {
  return {
    status,
    headers: [{ name: "content-type", value: "text/plain; charset=utf-8" }],
    payload: Buffer.from(`${text}\n`),
  };
}

/** The answer as its request wants it: that to HEAD has no body, and the length that a GET would have had, if that is known. */
export function bodyless(answer: Answer, method: string | undefined): Answer {
  const { status, headers, payload, rest } = answer;
  const isHead = method === "HEAD";
  if (!isHead && !(BODYLESS_STATUSES.has(status) && rest !== undefined)) return answer;
  const known = headers.some(({ name }) => name === "content-length");
  const isLengthKnown = rest === undefined && payload.length > 0 && !known;
  const length = { name: "content-length", value: String(payload.length) };
  rest?.cancel();
  return {
    status,
    headers: isLengthKnown ? [...headers, length] : headers,
    payload: new Uint8Array(),
    ...(rest === undefined ? {} : { rest: { read: () => drained(rest), cancel: () => {} } }),
  };
}

/** What is written for nobody: it comes to an end like what is read. */
async function drained(rest: PayloadReader): Promise<undefined> {
  while ((await rest.read()) !== undefined);
}
