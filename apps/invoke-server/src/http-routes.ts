import { randomUUID } from "node:crypto";
import type { InvokeRequest, InvokeResponse } from "@firn/snapshots";
import { type Context, Hono } from "hono";
import type { Dependencies } from "./dependencies.ts";
import { parseFunctionName } from "./function-name.ts";
import { MAX_PAYLOAD_BYTES, readBody } from "./request-body.ts";
import { ServiceError } from "./service-error.ts";
import { readInvokeOptions, setStartHeaders } from "./start-header.ts";

/** Headers that belong to one connection, and those that the body's new frame makes wrong. */
const NOT_FORWARDED = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
const NULL_BODY_STATUSES = new Set([204, 205, 304]);

/** Requests for fetch handlers: any method on `/functions/{name}/http/…` or `/url/{name}/…`. */
export function httpRoutes(dependencies: Dependencies) {
  const serve = (context: Context, prefix: string) => invokeHttp(dependencies, context, prefix);
  return new Hono()
    .all("/functions/:name/http", (context) => serve(context, "/functions/:name/http"))
    .all("/functions/:name/http/*", (context) => serve(context, "/functions/:name/http"))
    .all("/url/:name", (context) => serve(context, "/url/:name"))
    .all("/url/:name/*", (context) => serve(context, "/url/:name"));
}

async function invokeHttp(
  { host, invoker }: Dependencies,
  context: Context,
  prefix: string,
): Promise<Response> {
  const name = parseFunctionName(context.req.param("name") ?? "");
  const { timeoutMs } = host.get(name);
  const request: InvokeRequest = {
    requestId: randomUUID(),
    timeoutMs,
    payload: await readBody(context.req.raw, MAX_PAYLOAD_BYTES),
    http: {
      method: context.req.method,
      url: innerUrl(context.req.url, prefix.split("/").length - 1),
      headers: [...context.req.raw.headers]
        .filter(([header]) => !NOT_FORWARDED.has(header) && !header.startsWith("x-firn-"))
        .map(([header, value]) => ({ name: header, value })),
    },
  };
  const invocation = await invoker.invoke(name, request, readInvokeOptions(context));
  const { response } = invocation;
  const answer =
    response.functionError === "" ? toResponse(response, context.req.method) : toFailure(response, name);
  setStartHeaders(answer.headers, invocation);
  answer.headers.set("X-Firn-Request-Id", request.requestId);
  return answer;
}

/** The URL as the function sees it: without the leading segments that name the function. */
function innerUrl(url: string, segments: number): string {
  const { origin, pathname, search } = new URL(url);
  const rest = pathname.split("/").slice(segments + 1);
  return `${origin}/${rest.join("/")}${search}`;
}

/** The guest is not trusted: what HTTP cannot carry is its error, not this server's. */
function toResponse({ status, headers, payload }: InvokeResponse, method: string): Response {
  if (payload.length > MAX_PAYLOAD_BYTES) {
    throw new ServiceError(
      "FIRN_FUNCTION_RESPONSE",
      `The function answered with more than ${MAX_PAYLOAD_BYTES} bytes.`,
    );
  }
  try {
    const forwarded = new Headers();
    for (const { name, value } of headers) {
      if (!NOT_FORWARDED.has(name.toLowerCase())) forwarded.append(name, value);
    }
    const bodyless = method === "HEAD" || NULL_BODY_STATUSES.has(status);
    return new Response(bodyless ? null : (payload as Uint8Array<ArrayBuffer>), {
      status,
      headers: forwarded,
    });
  } catch (cause) {
    throw new ServiceError(
      "FIRN_FUNCTION_RESPONSE",
      "The function answered with a status or header that HTTP lacks.",
      {
        cause,
      },
    );
  }
}

function toFailure({ payload }: InvokeResponse, name: string): Response {
  const { errorMessage, stack } = readFailure(payload);
  const body = {
    Type: "FunctionError",
    Message: `Function ${name} failed: ${errorMessage}`,
    code: "FIRN_FUNCTION_ERROR",
    ...(stack === "" ? {} : { Stack: stack }),
  };
  return Response.json(body, { status: 502 });
}

/** Reads the error object of the Lambda API that the guest's runtime answers with. */
function readFailure(payload: Uint8Array): { errorMessage: string; stack: string } {
  const text = Buffer.from(payload).toString("utf8");
  try {
    const value = JSON.parse(text) as {
      errorMessage?: unknown;
      trace?: unknown;
      stackTrace?: unknown;
    } | null;
    const trace = value?.trace ?? value?.stackTrace;
    return {
      errorMessage: String(value?.errorMessage ?? "it gave no reason"),
      stack: Array.isArray(trace) ? trace.join("\n") : "",
    };
  } catch {
    return { errorMessage: text.slice(0, 1000) || "it gave no reason", stack: "" };
  }
}
