import { isDeepStrictEqual } from "node:util";
import { errorFields, FunctionHost, InstancePool, Invoker } from "@firn/functions";
import {
  DEFAULT_DEADLINES,
  describeDoubt,
  type Runtime,
  readRuntimes,
  scaleDeadlines,
} from "@firn/snapshots";
import { type Logger, pino } from "pino";
import { Access } from "./access/access.ts";
import { createInvokeApp, type InvokeApp } from "./app.ts";
import { type Config, ConfigError } from "./config.ts";
import { findJail, jailOptions } from "./jail-status.ts";
import { probeKvm } from "./kvm-probe.ts";
import { Readiness } from "./readiness.ts";

/** The invoke server without a socket: an app to serve, or to mount in another one, and what it works with. */
export interface InvokeService extends AsyncDisposable {
  readonly app: InvokeApp;
  /** Makes the first base, and goes on with deploys that the end of a former process cut off. Never rejects. */
  prepare(): Promise<void>;
  /** From now on it is not ready, and refuses requests: 503. Those under way go on. */
  drain(): void;
  /** Closes all microVMs and the store. A deploy that was accepted is not lost: {@link prepare} of the next one goes on with it. */
  close(): Promise<void>;
}

/**
 * Opens the store and makes the app.
 *
 * @param config The address and port in it are not listened on; the address says by which names control routes may be called.
 * @throws {FunctionsError} FIRN_STORE_IN_USE or FIRN_STORE_FORMAT.
 * @throws {FirnVmmError} FIRN_JAIL_UNAVAILABLE if the host cannot give the jail that is asked for.
 * @example
 * ```ts
 * const service = await openInvokeService(readConfig([], process.env));
 * const app = new Hono().route("/firn", service.app);
 * void service.prepare();
 * ```
 */
export async function openInvokeService(
  config: Config,
  log: Logger = pino({ level: config.logLevel }),
): Promise<InvokeService> {
  const machine = {
    kernelPath: config.kernel,
    runtimes: defaultFirst(await readRuntimes(config.runtimes), config.defaultRuntime),
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
  let knownDoubts: string[] = [];
  const host = await FunctionHost.open(config.store, machine, {
    onDeployLog: (name, { stream, text, requestId }) =>
      log.info(
        { function: name, ...(requestId === undefined ? {} : { requestId }), stream, deploy: true },
        text,
      ),
    onWorkingSetLearnt: (name, learnt) => {
      if ("error" in learnt)
        log.debug({ ...errorFields(learnt.error), function: name }, "nothing was learnt");
      else log.info({ function: name, ...learnt }, "a cold start has taught its working set");
    },
    onSnapshotTrouble: (name, error, remedy) =>
      log.warn({ ...errorFields(error), function: name, remedy }, "the snapshot cannot be used"),
    onStoreDoubts: (doubts) => {
      const described = doubts.map(describeDoubt);
      // Each collection finds the same ones again.
      if (isDeepStrictEqual(described, knownDoubts)) return;
      knownDoubts = described;
      log.error({ doubts: described }, "the store holds what cannot be read: nothing is deleted");
    },
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
  const streamLimitBytes = config.streamLimitMib * 1024 * 1024;
  const app = createInvokeApp({ host, pool, invoker, readiness, jail, access, log, streamLimitBytes });
  let closed: Promise<void> | undefined;
  const close = () => {
    readiness.draining = true;
    closed ??= pool.close().then(() => host.close());
    return closed;
  };
  return {
    app,
    prepare: () =>
      prepare(host, readiness, config, log).catch((error: unknown) => {
        log.error(errorFields(error), "what was left undone cannot be done");
      }),
    drain: () => {
      readiness.draining = true;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
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
    await readiness.follow(host.bases.keep(config.defaultRuntime, config.prepareMemoryMib * 1024 * 1024));
    const milliseconds = Math.round(performance.now() - began);
    if (readiness.base.state === "failed") log.error(readiness.base, "the base snapshot cannot be made");
    else log.info({ memoryMib: config.prepareMemoryMib, milliseconds }, "the base snapshot is there");
  }
  await host.recover();
}

/** The runtime of deploys that name none stands first. @throws {ConfigError} if it is not there. */
function defaultFirst(runtimes: readonly Runtime[], name: string): Runtime[] {
  const found = runtimes.find((runtime) => runtime.name === name);
  if (found !== undefined) return [found, ...runtimes.filter((runtime) => runtime !== found)];
  const names = runtimes.map((runtime) => runtime.name).join(", ");
  throw new ConfigError(`Set FIRN_DEFAULT_RUNTIME or --default-runtime: there is no ${name}, only ${names}.`);
}
