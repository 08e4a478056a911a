import { type Answer, JSON_HEADERS } from "./answer.ts";
import { fromBody, isStream } from "./body.ts";
import { fromHeaderFields } from "./headers.ts";

/**
 * The HTTP answer in what a handler of function URL events returned. An object with a `statusCode` is an answer; anything else is the
 * body of one, text as it is and other values as JSON.
 *
 * @throws {TypeError} saying what of it HTTP cannot carry.
 */
export async function fromFunctionUrlResult(result: unknown): Promise<Answer> {
  if (isAnswer(result)) {
    const payload = await fromBody(result.body, result.isBase64Encoded);
    const headers = fromHeaderFields(result);
    const typed = payload.length === 0 || headers.some(({ name }) => name === "content-type");
    return {
      status: readStatus(result.statusCode),
      headers: typed ? headers : [...headers, ...JSON_HEADERS],
      payload,
    };
  }
  const payload = Buffer.from(typeof result === "string" ? result : toJson(result));
  return { status: 200, headers: JSON_HEADERS, payload };
}

/**
 * A handler's result as JSON; `null` for none.
 *
 * @throws {TypeError} if it is none.
 */
export function toJson(result: unknown): string {
  if (isStream(result)) {
    throw new TypeError(
      "The handler returned a stream: return a Response with it, or write to the stream of awslambda.streamifyResponse.",
    );
  }
  try {
    return JSON.stringify(result) ?? "null";
  } catch (cause) {
    throw new TypeError("The handler returned what cannot be written as JSON.", { cause });
  }
}

function isAnswer(result: unknown): result is Record<string, unknown> {
  return typeof result === "object" && result !== null && "statusCode" in result;
}

/** @throws {TypeError} if HTTP has no such status for an answer. */
export function readStatus(statusCode: unknown): number {
  const status =
    typeof statusCode === "string" && /^\d{3}$/.test(statusCode) ? Number(statusCode) : statusCode;
  // Below 200 HTTP has no answers, only announcements of one.
  if (typeof status === "number" && Number.isInteger(status) && status >= 200 && status <= 599) return status;
  const text = typeof statusCode === "string" ? JSON.stringify(statusCode) : String(statusCode);
  throw new TypeError(`The handler returned the statusCode ${text}: return a number from 200 to 599.`);
}
