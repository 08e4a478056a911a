import type { Header } from "@firn/protocol";

/** What a function answered. */
export interface Answer {
  readonly status: number;
  readonly headers: readonly Header[];
  readonly payload: Uint8Array;
}

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

/** The answer to a HEAD request: no body, and the length that a GET would have had. */
export function withoutBody(answer: Answer): Answer {
  const { status, headers, payload } = answer;
  const known = headers.some(({ name }) => name === "content-length");
  return {
    status,
    headers:
      known || payload.length === 0
        ? headers
        : [...headers, { name: "content-length", value: String(payload.length) }],
    payload: new Uint8Array(),
  };
}
