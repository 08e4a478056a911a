import { randomUUID } from "node:crypto";
import { failureOf } from "@firn/functions";
import { FunctionFailedError } from "@firn/snapshots";
import { type Context, Hono } from "hono";
import { guardControl, guardFunctionUrl } from "../access/guards.ts";
import type { Dependencies } from "../dependencies.ts";
import { parseFunctionName } from "../function-name.ts";
import { answerError } from "../service-error.ts";
import { PLAIN_START, readInvokeOptions, setStartHeaders } from "../start-header.ts";
import { failedResponse, strangersAnswer } from "./failure.ts";
import { forwardedRequest } from "./forwarded-request.ts";
import { toResponse } from "./response.ts";

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
  { host, invoker }: Dependencies,
  context: Context,
  prefix: string,
  isOpenToCaller: boolean,
): Promise<Response> {
  const name = parseFunctionName(context.req.param("name") ?? "");
  const { timeoutMs } = host.get(name);
  const options = isOpenToCaller
    ? readInvokeOptions(context)
    : { ...PLAIN_START, signal: context.req.raw.signal };
  const requestId = randomUUID();
  const request = { requestId, timeoutMs, ...(await forwardedRequest(context, prefix)) };
  const answer = await invoker.invoke(name, request, options).then(
    (invocation) => {
      const { response } = invocation;
      const failed = response.functionError !== "";
      const made = failed
        ? failedResponse(name, failureOf(response.payload), isOpenToCaller)
        : toResponse(response, context.req.method);
      if (isOpenToCaller) setStartHeaders(made.headers, invocation);
      return made;
    },
    (error: unknown) => {
      // The process ended, ran out of memory or failed in a hook: that is this function's failure, not this server's.
      if (!(error instanceof FunctionFailedError)) throw error;
      return failedResponse(name, { errorMessage: error.message, stack: error.guestStack }, isOpenToCaller);
    },
  );
  answer.headers.set("x-amzn-RequestId", requestId);
  return answer;
}
