import { randomUUID } from "node:crypto";
import { failureOf } from "@firn/functions";
import { FunctionFailedError, type InvokeResponse } from "@firn/snapshots";
import type { HttpBindings } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { guardControl, guardFunctionUrl } from "../access/guards.ts";
import type { Dependencies } from "../dependencies.ts";
import { parseFunctionName } from "../function-name.ts";
import { answerError } from "../service-error.ts";
import { PLAIN_START, readInvokeOptions, setStartHeaders } from "../start-header.ts";
import { failedResponse, strangersAnswer } from "./failure.ts";
import { forwardedRequest } from "./forwarded-request.ts";
import { toResponse, toStreamedResponse } from "./response.ts";

/** The status that logs of HTTP servers have for a caller that has gone. */
const CLIENT_GONE = 499;

/**
 * Requests with any method, for fetch handlers and for handlers of function URL events. On `/url/{name}/…` the caller may be
 * anybody: how a function is run and where it failed is not told there, unless the server is started with `--debug-headers`.
 * `/functions/{name}/http/…` is the same for those who may call control routes, with all that can be told.
 */
export function functionUrlRoutes(dependencies: Dependencies) {
  const { access } = dependencies;
  const open = (context: Context) => invoke(dependencies, context, "/url/:name", access.debugHeaders);
  const control = (context: Context) => invoke(dependencies, context, "/functions/:name/http", true);
  const urls = new Hono()
    .use("/url/:name/*", guardFunctionUrl(access))
    .all("/url/:name", open)
    .all("/url/:name/*", open);
  if (!access.debugHeaders) {
    urls.onError((error, context) => answerError(context, dependencies, error, strangersAnswer(error)));
  }
  return new Hono()
    .use("/functions/:name/http/*", guardControl(access))
    .all("/functions/:name/http", control)
    .all("/functions/:name/http/*", control)
    .route("/", urls);
}

async function invoke(
  { host, invoker, streamLimitBytes }: Dependencies,
  context: Context,
  prefix: string,
  isOpenToCaller: boolean,
): Promise<Response> {
  const name = parseFunctionName(context.req.param("name") ?? "");
  const { timeoutMs } = host.get(name);
  const { method } = context.req;
  const { signal } = context.req.raw;
  const options = isOpenToCaller ? readInvokeOptions(context) : { ...PLAIN_START, signal };
  const requestId = randomUUID();
  const forwarded = await forwardedRequest(context, prefix, streamLimitBytes);
  const request = { requestId, timeoutMs, streamLimitBytes, ...forwarded };
  const answer = await invoker.invokeStream(name, request, options).then(
    (invocation) => {
      const made =
        "stream" in invocation
          ? toStreamedResponse(invocation.stream, method, cutterOf(context))
          : toWholeResponse(name, invocation.response, method, isOpenToCaller);
      if (isOpenToCaller) setStartHeaders(made.headers, invocation);
      return made;
    },
    (error: unknown) => {
      // Nobody is there to be told why.
      if (signal.aborted) return new Response(null, { status: CLIENT_GONE });
      // The process ended, ran out of memory or failed in a hook: that is this function's failure, not this server's.
      if (!(error instanceof FunctionFailedError)) throw error;
      return failedResponse(name, { errorMessage: error.message, stack: error.guestStack }, isOpenToCaller);
    },
  );
  answer.headers.set("x-amzn-RequestId", requestId);
  return answer;
}

function toWholeResponse(
  name: string,
  response: InvokeResponse,
  method: string,
  isOpenToCaller: boolean,
): Response {
  if (response.functionError === "") return toResponse(response, method);
  return failedResponse(name, failureOf(response.payload), isOpenToCaller);
}

/** What cuts the connection to the caller, if it is Node.js that serves. */
function cutterOf(context: Context): (() => void) | undefined {
  const { outgoing } = (context.env ?? {}) as Partial<HttpBindings>;
  return outgoing === undefined ? undefined : () => void outgoing.destroy();
}
