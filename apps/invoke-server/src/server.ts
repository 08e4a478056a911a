import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";
import { type Logger, pino } from "pino";
import type { Config } from "./config.ts";
import { MAX_TIMEOUT_MS } from "./limits.ts";
import { openInvokeService } from "./service.ts";

/** A server that listens. */
export interface RunningServer {
  readonly url: string;
  /** Takes no more requests, lets those under way finish until the deadline, and closes all microVMs. */
  stop(): Promise<void>;
}

/**
 * Opens the store and listens. Without KVM it listens too: deploys and invocations then say what is missing.
 *
 * @throws {FunctionsError} FIRN_STORE_IN_USE or FIRN_STORE_FORMAT.
 * @throws {FirnVmmError} FIRN_JAIL_UNAVAILABLE if the host cannot give the jail that is asked for.
 */
export async function startServer(
  config: Config,
  log: Logger = pino({ level: config.logLevel }),
): Promise<RunningServer> {
  const service = await openInvokeService(config, log);
  const server = await listen(service.app.fetch, config).catch(async (error: unknown) => {
    await service.close();
    throw error;
  });
  const url = `http://${config.host}:${(server.address() as AddressInfo).port}`;
  log.info({ url, store: config.store }, "listening");
  void service.prepare();
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    service.drain();
    await drain(server, config.drainSeconds * 1000);
    await service.close();
    log.info("stopped");
  };
  return {
    url,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

function listen(fetch: Parameters<typeof serve>[0]["fetch"], config: Config): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch, port: config.port, hostname: config.host }, () =>
      resolve(server),
    ) as Server;
    server.once("error", reject);
    // A request may arrive for as long as its function runs.
    server.requestTimeout = MAX_TIMEOUT_MS;
  });
}

/** Closes the listening socket and idle connections at once, the others when they are idle or the deadline has passed. */
async function drain(server: Server, timeoutMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), timeoutMs);
  await closed;
  clearTimeout(timer);
}
