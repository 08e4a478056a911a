import type { FunctionHost } from "@firn/snapshots";
import type { Logger } from "pino";
import type { InstancePool } from "./instance-pool.ts";
import type { Invoker } from "./invoker.ts";
import type { Readiness } from "./readiness.ts";

/** What the routes work with. */
export interface Dependencies {
  readonly host: FunctionHost;
  readonly pool: InstancePool;
  readonly invoker: Invoker;
  readonly readiness: Readiness;
  readonly log: Logger;
}
