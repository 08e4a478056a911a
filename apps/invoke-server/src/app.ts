import { errorFields } from "@firn/functions";
import { Hono } from "hono";
import type { Dependencies } from "./dependencies.ts";
import { functionRoutes } from "./function-routes.ts";
import { healthRoutes } from "./health-routes.ts";
import { httpRoutes } from "./http-routes.ts";
import { lambdaRoutes } from "./lambda-routes.ts";
import { answerOf, ServiceError } from "./service-error.ts";

/**
 * Makes the invoke server's app. It does not listen: serve it, or mount it in another Hono app.
 *
 * @example
 * ```ts
 * const app = createInvokeApp({ host, pool, invoker, readiness, jail, log });
 * serve({ fetch: app.fetch, port: 8080 });
 * ```
 */
export function createInvokeApp(dependencies: Dependencies) {
  const { readiness, log } = dependencies;
  const app = new Hono();
  app.use(async (context, next) => {
    if (readiness.draining && !context.req.path.startsWith("/health")) {
      throw new ServiceError(
        "FIRN_DRAINING",
        "The server is shutting down. Send the request to another one.",
      );
    }
    await next();
    if (readiness.draining) context.header("Connection", "close");
  });
  app.onError((error, context) => {
    const { status, body } = answerOf(error);
    const fields = { ...errorFields(error), status, method: context.req.method, path: context.req.path };
    if (status >= 500) log.error(fields, "request failed");
    else log.info(fields, "request refused");
    context.header("x-amzn-ErrorType", body.Type);
    if (status === 429) context.header("Retry-After", "1");
    // What is left of a body that was refused must not be taken for the next request.
    if (status === 413 || readiness.draining) context.header("Connection", "close");
    return context.json(body, status);
  });
  app.notFound((context) => {
    const { status, body } = answerOf(
      new ServiceError("FIRN_NOT_FOUND", `There is no ${context.req.method} ${context.req.path} here.`),
    );
    context.header("x-amzn-ErrorType", body.Type);
    return context.json(body, status);
  });
  return app
    .route("/", healthRoutes(dependencies))
    .route("/", lambdaRoutes(dependencies))
    .route("/", httpRoutes(dependencies))
    .route("/", functionRoutes(dependencies));
}

/** The app's type, for Hono's typed client. */
export type InvokeApp = ReturnType<typeof createInvokeApp>;
