import type { FunctionHost, InstancePool, Invoker } from "@firn/functions";
import type { Logger } from "pino";
import type { Access } from "./access/access.ts";
import type { JailStatus } from "./jail-status.ts";
import type { Readiness } from "./readiness.ts";

/** What the routes work with. */
export interface Dependencies {
  readonly host: FunctionHost;
  readonly pool: InstancePool;
  readonly invoker: Invoker;
  readonly readiness: Readiness;
  readonly jail: JailStatus;
  /** Who may call which routes. */
  readonly access: Access;
  readonly log: Logger;
  /** Longest request or answer that is passed on piece by piece, in bytes. */
  readonly streamLimitBytes: number;
}
