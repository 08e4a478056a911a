import { Hono, type MiddlewareHandler } from "hono";
import type { Dependencies } from "./dependencies.ts";
import { functionRoutes } from "./function-routes.ts";
import { functionUrlRoutes } from "./function-url/routes.ts";
import { healthRoutes } from "./health-routes.ts";
import { lambdaRoutes } from "./lambda/routes.ts";
import { answerError, answerOf, ServiceError } from "./service-error.ts";

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
  const { readiness } = dependencies;
  const refuseWhileDraining: MiddlewareHandler = async (_, next) => {
    if (!readiness.draining) return next();
    throw new ServiceError("FIRN_DRAINING", "The server is shutting down. Send the request to another one.");
  };
  const app = new Hono();
  app.use(async (context, next) => {
    await next();
    if (readiness.draining) context.header("Connection", "close");
  });
  app.onError((error, context) => answerError(context, dependencies, error));
  app.notFound((context) => {
    const { status, body } = answerOf(
      new ServiceError("FIRN_NOT_FOUND", `There is no ${context.req.method} ${context.req.path} here.`),
    );
    context.header("x-amzn-ErrorType", body.Type);
    return context.json(body, status);
  });
  return app
    .route("/", healthRoutes(dependencies))
    .use(refuseWhileDraining)
    .route("/", lambdaRoutes(dependencies))
    .route("/", functionUrlRoutes(dependencies))
    .route("/", functionRoutes(dependencies));
}

/** The app's type, for Hono's typed client. */
export type InvokeApp = ReturnType<typeof createInvokeApp>;
