import type { FunctionHost } from "@firn/functions";
import { Hono } from "hono";
import { guardControl } from "./access/guards.ts";
import type { Dependencies } from "./dependencies.ts";

/** `GET /health` always answers 200 and tells; `/health/live` and `/health/ready` are for probes, which may call
 * this server by any name and learn one word. */
export function healthRoutes({ host, pool, readiness, jail, access }: Dependencies) {
  return new Hono()
    .get("/health", guardControl(access), async (context) => {
      const functions = host.catalog.list().length;
      return context.json({
        ...(await readiness.status()),
        jail,
        functions,
        instances: pool.counts,
        prepared: preparedView(host.poolStatistics()),
      });
    })
    .get("/health/live", (context) => context.json({ status: "live" as const }))
    .get("/health/ready", async (context) => {
      const { status } = await readiness.status();
      return context.json({ status }, status === "ready" ? 200 : 503);
    });
}

/** The processes that wait for cold starts, without what only this machine's log should tell. */
function preparedView(statistics: ReturnType<FunctionHost["poolStatistics"]>) {
  const { bases, lastFailure, ...counts } = statistics;
  return { ...counts, bases: bases.length, lastFailure: lastFailure?.code ?? null };
}
