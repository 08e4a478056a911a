import type { Header } from "@firn/protocol";
import type { Answer } from "./answer.ts";
import { toHeader } from "./headers.ts";

/** The parts of a Response that are needed here: that of this realm, of another one, or of a library. */
interface ResponseLike {
  readonly status: number;
  readonly headers: Iterable<[string, string]> & { getSetCookie?(): string[] };
  readonly body?: { cancel?(): Promise<void> } | null;
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
 * The answer in a Response.
 *
 * @throws {TypeError} if it cannot be sent, for example because it goes on for as long as it is read.
 */
export async function fromResponse(response: ResponseLike): Promise<Answer> {
  const { status } = response;
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new TypeError(`The handler returned a Response of status ${status}: HTTP has 200 to 599.`);
  }
  const headers = readHeaders(response);
  if (headers.some(({ name, value }) => name === "content-type" && /^text\/event-stream\b/i.test(value))) {
    await response.body?.cancel?.().catch(() => {});
    throw new TypeError(
      "The handler returned an event stream (text/event-stream), and response streaming is not supported yet: return a whole answer.",
    );
  }
  return { status, headers, payload: new Uint8Array(await response.arrayBuffer()) };
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
