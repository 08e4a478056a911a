import type { Invoke } from "@firn/protocol";
import { toBodyText } from "./body.ts";

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** How an HTTP request reaches a handler of events: payload format 2.0 of AWS Lambda function URLs. */
export function toFunctionUrlEvent(invoke: Invoke): Record<string, unknown> {
  const url = new URL(invoke.url ?? "/", "http://function/");
  const { headers, cookies } = readHeaders(invoke);
  if (!headers.has("host")) headers.set("host", url.host);
  const now = new Date();
  return {
    version: "2.0",
    routeKey: "$default",
    rawPath: url.pathname,
    rawQueryString: url.search.slice(1),
    cookies,
    headers: Object.fromEntries(headers),
    queryStringParameters: Object.fromEntries(joined(url.searchParams)),
    requestContext: {
      accountId: "anonymous",
      apiId: url.hostname.split(".")[0],
      domainName: url.host,
      domainPrefix: url.hostname.split(".")[0],
      http: {
        method: invoke.method ?? "GET",
        path: url.pathname,
        protocol: "HTTP/1.1",
        sourceIp: sourceOf(headers),
        userAgent: headers.get("user-agent") ?? "",
      },
      requestId: invoke.requestId,
      routeKey: "$default",
      stage: "$default",
      time: commonLogTime(now),
      timeEpoch: now.getTime(),
    },
    ...toBodyText(invoke.payload),
  };
}

/** A caller names these as it likes, "toString" and "__proto__" too: they are kept in maps until they are all there. */
function readHeaders(invoke: Invoke): { headers: Map<string, string>; cookies: string[] } {
  const all = (invoke.headers ?? []).map(({ name, value }): [string, string] => [name.toLowerCase(), value]);
  return {
    headers: joined(all.filter(([name]) => name !== "cookie")),
    cookies: all
      .filter(([name]) => name === "cookie")
      .flatMap(([, value]) => value.split(/; */))
      .filter((cookie) => cookie !== ""),
  };
}

/** Values of the same name become one, with commas between them. */
function joined(pairs: Iterable<[string, string]>): Map<string, string> {
  const map = new Map<string, string>();
  for (const [name, value] of pairs) {
    const before = map.get(name);
    map.set(name, before === undefined ? value : `${before},${value}`);
  }
  return map;
}

/** The caller's address. The server appends it; what stands before it is what the caller says. */
function sourceOf(headers: Map<string, string>): string {
  return headers.get("x-forwarded-for")?.split(",").at(-1)?.trim() || "127.0.0.1";
}

/** A time as in the Common Log Format, for example "12/Mar/2020:19:03:58 +0000". */
function commonLogTime(time: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${two(time.getUTCDate())}/${MONTHS[time.getUTCMonth()]}/${time.getUTCFullYear()}`;
  return `${day}:${two(time.getUTCHours())}:${two(time.getUTCMinutes())}:${two(time.getUTCSeconds())} +0000`;
}
