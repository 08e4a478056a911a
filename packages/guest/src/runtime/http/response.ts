import type { Header } from "@firn/protocol";
import type { Answer } from "./answer.ts";
import { type BodyLike, readAhead, readerOf } from "./body-reader.ts";
import { toHeader } from "./headers.ts";

/** The parts of a Response that are needed here: that of this realm, of another one, or of a library. */
interface ResponseLike {
  readonly status: number;
  readonly headers: Iterable<[string, string]> & { getSetCookie?(): string[] };
  readonly body?: BodyLike | null;
  readonly bodyUsed?: boolean;
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** Whether a value is a Response, whoever made it. */
export function isResponse(value: unknown): value is ResponseLike {
  if (typeof value !== "object" || value === null) return false;
  if (value instanceof Response) return true;
  const { status, headers, arrayBuffer } = value as Partial<Record<keyof ResponseLike, unknown>>;
  return (
    typeof status === "number" &&
    typeof arrayBuffer === "function" &&
    typeof headers === "object" &&
    headers !== null &&
    Symbol.iterator in headers
  );
}

/**
 * The answer in a Response. A body that is all there is taken as a whole; any other one is read as it is written.
 *
 * @throws {TypeError} if it cannot be sent.
 */
export async function fromResponse(response: ResponseLike): Promise<Answer> {
  const { status } = response;
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new TypeError(`The handler returned a Response of status ${status}: HTTP has 200 to 599.`);
  }
  const headers = readHeaders(response);
  if (response.bodyUsed === true) {
    throw new TypeError("The handler returned a Response whose body has been read: return response.clone().");
  }
  if (response.body === null) return { status, headers, payload: new Uint8Array() };
  const reader = readerOf(response.body);
  if (reader === undefined) {
    return { status, headers, payload: new Uint8Array(await response.arrayBuffer()) };
  }
  return { status, headers, ...(await readAhead(reader)) };
}

function readHeaders({ headers }: ResponseLike): Header[] {
  const all = [...headers].map(([name, value]) => toHeader(name, value));
  const cookies = headers.getSetCookie?.();
  if (cookies === undefined) return all;
  return [
    ...all.filter(({ name }) => name !== "set-cookie"),
    ...cookies.map((value) => toHeader("set-cookie", value)),
  ];
}
