import { Hono } from "hono";
import type { Dependencies } from "./dependencies.ts";

/** `GET /health` always answers 200 and tells; `/health/live` and `/health/ready` are for probes. */
export function healthRoutes({ host, pool, readiness }: Dependencies) {
  return new Hono()
    .get("/health", async (context) => {
      const functions = host.catalog.list().length;
      return context.json({ ...(await readiness.status()), functions, instances: pool.counts });
    })
    .get("/health/live", (context) => context.json({ status: "live" as const }))
    .get("/health/ready", async (context) => {
      const { status } = await readiness.status();
      return context.json({ status }, status === "ready" ? 200 : 503);
    });
}
