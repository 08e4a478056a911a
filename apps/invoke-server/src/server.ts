import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { errorFields, FunctionHost, InstancePool, Invoker } from "@firn/functions";
import { DEFAULT_DEADLINES, describeDoubt, scaleDeadlines } from "@firn/snapshots";
import { serve } from "@hono/node-server";
import { type Logger, pino } from "pino";
import { Access } from "./access/access.ts";
import { createInvokeApp } from "./app.ts";
import type { Config } from "./config.ts";
import { findJail, jailOptions } from "./jail-status.ts";
import { probeKvm } from "./kvm-probe.ts";
import { Readiness } from "./readiness.ts";

/** A server that listens. */
export interface RunningServer {
  readonly url: string;
  /** Takes no more requests, lets those under way finish until the deadline, and closes all microVMs. */
  stop(): Promise<void>;
}

/**
 * Opens the store and listens. Without KVM it listens too: deploys and invocations then say what is missing.
 *
 * @throws {SnapshotError} FIRN_STORE_IN_USE or FIRN_STORE_FORMAT.
 * @throws {FirnVmmError} FIRN_JAIL_UNAVAILABLE if the host cannot give the jail that is asked for.
 */
export async function startServer(
  config: Config,
  log: Logger = pino({ level: config.logLevel }),
): Promise<RunningServer> {
  const machine = {
    kernelPath: config.kernel,
    rootDiskPath: config.rootfs,
    vcpus: config.vcpus,
    deadlines: scaleDeadlines(DEFAULT_DEADLINES, config.deadlineFactor),
    pool: {
      size: config.poolSize,
      memoryBudgetBytes: config.poolMemoryMib * 1024 * 1024,
      maxMemoryPressure: config.poolMaxPressure,
    },
    jail: jailOptions(config),
    onLog: (line: { stream: string; text: string }) => log.debug({ stream: line.stream }, line.text),
  };
  const host = await FunctionHost.open(config.store, machine, {
    onDeployLog: (name, { stream, text }) => log.info({ function: name, stream, deploy: true }, text),
    onSnapshotTrouble: (name, error, remedy) =>
      log.warn({ ...errorFields(error), function: name, remedy }, "the snapshot cannot be used"),
    onStoreDoubts: (doubts) =>
      log.error(
        { doubts: doubts.map(describeDoubt) },
        "the store holds what cannot be read: nothing is deleted",
      ),
    onPoolFailure: (error) => log.warn(errorFields(error), "no process can be prepared for cold starts"),
  });
  const jail = await findJail(host).catch(async (error: unknown) => {
    await host.close();
    throw error;
  });
  if (jail.available) log.info({ jail }, `VMM processes are jailed at the level ${jail.level}`);
  else log.warn({ code: jail.code }, `no VMM process can be started: ${jail.message}`);
  const pool = new InstancePool({ maxInstances: config.maxInstances, idleMs: config.idleSeconds * 1000 });
  const invoker = new Invoker({ host, pool, log, guestConsole: config.guestConsole });
  const { allowedHosts, functionHosts, debugHeaders } = config;
  const access = new Access({ listen: config.host, allowedHosts, functionHosts, debugHeaders });
  const readiness = new Readiness(probeKvm);
  const app = createInvokeApp({ host, pool, invoker, readiness, jail, access, log });
  const server = await listen(app.fetch, config).catch(async (error: unknown) => {
    await host.close();
    throw error;
  });
  const url = `http://${config.host}:${(server.address() as AddressInfo).port}`;
  log.info({ url, store: config.store }, "listening");
  void prepare(host, readiness, config, log);
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    readiness.draining = true;
    await drain(server, config.drainSeconds * 1000);
    await pool.close();
    await host.close();
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
  });
}

/** Makes the first base, and what a former process left undone. */
async function prepare(host: FunctionHost, readiness: Readiness, config: Config, log: Logger): Promise<void> {
  const { available, reason } = await probeKvm();
  if (!available) {
    log.error({ code: "FIRN_KVM_UNAVAILABLE" }, reason);
    return;
  }
  if (config.prepareMemoryMib > 0) {
    const began = performance.now();
    await readiness.follow(host.bases.keep(config.prepareMemoryMib * 1024 * 1024));
    const milliseconds = Math.round(performance.now() - began);
    if (readiness.base.state === "failed") log.error(readiness.base, "the base snapshot cannot be made");
    else log.info({ memoryMib: config.prepareMemoryMib, milliseconds }, "the base snapshot is there");
  }
  await host.recover();
}

/** Closes the listening socket and idle connections at once, the others when they are idle or the deadline has passed. */
async function drain(server: Server, timeoutMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), timeoutMs);
  await closed;
  clearTimeout(timer);
}
