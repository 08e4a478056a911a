import type { Header, Invoke } from "@firn/protocol";

/** How an HTTP request reaches a handler of events: payload format 2.0 of AWS Lambda function URLs. */
export function toFunctionUrlEvent(invoke: Invoke): unknown {
  const url = new URL(invoke.url ?? "/", "http://function/");
  const headers: Record<string, string> = {};
  const cookies: string[] = [];
  for (const { name, value } of invoke.headers ?? []) {
    const key = name.toLowerCase();
    if (key === "cookie") cookies.push(...value.split("; "));
    else headers[key] = key in headers ? `${headers[key]},${value}` : value;
  }
  const query: Record<string, string> = {};
  for (const [key, value] of url.searchParams) query[key] = key in query ? `${query[key]},${value}` : value;
  const body = Buffer.from(invoke.payload);
  const isText = /^(text\/|application\/(json|javascript|xml|x-www-form-urlencoded))/.test(
    headers["content-type"] ?? "",
  );
  return {
    version: "2.0",
    routeKey: "$default",
    rawPath: url.pathname,
    rawQueryString: url.search.slice(1),
    cookies,
    headers,
    queryStringParameters: query,
    requestContext: {
      requestId: invoke.requestId,
      domainName: url.host,
      http: { method: invoke.method ?? "GET", path: url.pathname, protocol: "HTTP/1.1" },
      timeEpoch: Date.now(),
    },
    ...(body.length > 0 ? { body: isText ? body.toString("utf8") : body.toString("base64") } : {}),
    isBase64Encoded: body.length > 0 && !isText,
  };
}

/** The HTTP answer in what a handler of function URL events returned. */
export function fromFunctionUrlResult(result: unknown): {
  status: number;
  headers: Header[];
  payload: Uint8Array;
} {
  if (typeof result === "object" && result !== null && "statusCode" in result) {
    const { statusCode, headers, cookies, body, isBase64Encoded } = result as Record<string, unknown>;
    const text = typeof body === "string" ? body : JSON.stringify(body ?? "");
    return {
      status: Number.isInteger(statusCode) ? (statusCode as number) : 200,
      headers: [
        ...Object.entries(headers ?? {}).map(([name, value]) => ({
          name: name.toLowerCase(),
          value: String(value),
        })),
        ...(Array.isArray(cookies)
          ? cookies.map((value) => ({ name: "set-cookie", value: String(value) }))
          : []),
      ],
      payload: Buffer.from(text, isBase64Encoded === true ? "base64" : "utf8"),
    };
  }
  return {
    status: 200,
    headers: [{ name: "content-type", value: "application/json" }],
    payload: Buffer.from(typeof result === "string" ? result : (JSON.stringify(result) ?? "null")),
  };
}
