import { createWriteStream } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ArmHost } from "../../test/rig/src/index.ts";
import { cacheDirectory } from "../cache.ts";
import { tail } from "../command.ts";
import { SetupError } from "../errors.ts";
import { repository } from "../machine.ts";
import { localCopies } from "./local-copies.ts";

/** An invoke server that is ready. */
export interface RunningServer {
  url: string;
  log: string;
  /** Resolves when the server ends, asked or not. */
  exited: Promise<number>;
  stop(): Promise<void>;
}

// An emulated host that shares its cores with others makes its first base snapshot in minutes.
const readyDeadlineMs = 10 * 60_000;
const stopDeadlineMs = 15_000;
const idleDeadlineMs = 10 * 60_000;
const pollMs = 250;

/**
 * Fails when somebody listens on a port of the loopback already.
 *
 * @throws {SetupError} PORT_TAKEN
 */
export async function assertPortFree(port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (cause) => {
      const message = `Somebody listens on port ${port} already. End it, or choose another port: npm run up -- --port 8081`;
      reject(new SetupError("PORT_TAKEN", message, { cause }));
    });
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve()));
  });
}

/** Starts the invoke server on the ARM host, and waits until its first base snapshot is made. */
export async function startServer(
  host: ArmHost,
  images: Readonly<Record<string, string>>,
  port: number,
  signal: AbortSignal,
): Promise<RunningServer> {
  const binding = join(repository, "packages", "vmm", "npm", "linux-arm64-gnu");
  const [kernel, runtimes, binary, addon, program] = await localCopies(host, [
    images.FIRN_GUEST_KERNEL ?? "",
    images.FIRN_GUEST_RUNTIMES ?? "",
    join(binding, "bin", "firn-vmm"),
    join(binding, "firn-vmm.linux-arm64-gnu.node"),
    join(repository, "apps", "invoke-server", "dist", "bundle", "firn-invoke-server.js"),
  ]);
  const env = {
    FIRN_KERNEL: kernel,
    FIRN_RUNTIMES: runtimes,
    FIRN_VMM_BINARY: binary,
    FIRN_VMM_ADDON: addon,
    FIRN_STORE: host.kind === "rig" ? "/var/lib/firn/store" : join(cacheDirectory(), "store"),
    FIRN_PORT: String(port),
    // `npm run up -- --once` reads what a start cost from the answers of function URLs too.
    FIRN_DEBUG_HEADERS: "1",
    ...(host.kind === "rig" ? { FIRN_DEADLINE_FACTOR: "5" } : {}),
    // The rig's only way in is the forwarded port, which ends on the loopback of this machine.
    FIRN_HOST: host.kind === "rig" ? "0.0.0.0" : "127.0.0.1",
  };
  await mkdir(join(repository, ".cache"), { recursive: true });
  const log = join(repository, ".cache", "invoke-server.log");
  const child = host.spawn("node", ["--disable-warning=ExperimentalWarning", program ?? ""], {
    cwd: repository,
    env,
  });
  const file = createWriteStream(log);
  child.stdout.pipe(file, { end: false });
  child.stderr.pipe(file, { end: false });
  const url = `http://127.0.0.1:${await host.port(port, port)}`;
  const stop = async () => {
    await child.kill("TERM").catch(() => undefined);
    const late = sleep(stopDeadlineMs, "late", { ref: false });
    if ((await Promise.race([child.exited, late])) === "late") await child.kill("KILL");
    file.end();
  };
  try {
    await waitUntilReady(url, child.exited, log, signal);
  } catch (cause) {
    await stop();
    throw cause;
  }
  return { url, log, exited: child.exited, stop };
}

interface Health {
  status: string;
  kvm?: unknown;
  base?: { state: string; code?: string; message?: string };
  prepared?: { waiting: number; wanted: number; heldBack: string | null };
}

async function waitUntilReady(
  url: string,
  exited: Promise<number>,
  log: string,
  signal: AbortSignal,
): Promise<void> {
  const deadline = Date.now() + readyDeadlineMs;
  let ended: number | undefined;
  void exited.then((status) => {
    ended = status;
  });
  const failure = async (what: string) => {
    const text = await readFile(log, "utf8").catch(() => "");
    return new SetupError("SERVER_NOT_READY", `The invoke server ${what}. The end of ${log}:\n${tail(text)}`);
  };
  for (;;) {
    signal.throwIfAborted();
    if (ended !== undefined) throw await failure(`ended with status ${ended}`);
    const health = await askHealth(url, signal);
    if (health?.status === "ready") return;
    if (health?.status === "degraded") {
      const { code, message } = health.base ?? {};
      throw await failure(
        message === undefined
          ? `cannot use KVM: ${JSON.stringify(health.kvm)}`
          : `has no base snapshot: ${message} [${code}]`,
      );
    }
    if (Date.now() > deadline) throw await failure(`was not ready within ${readyDeadlineMs / 1000} s`);
    await sleep(pollMs, undefined, { signal });
  }
}

/**
 * Waits until the server has nothing to do in the background: the processes that cold starts take wait, or something is in the way
 * of more.
 *
 * @throws {SetupError} SERVER_NOT_READY if that takes more than ten minutes.
 */
export async function untilIdle(url: string, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + idleDeadlineMs;
  for (;;) {
    signal.throwIfAborted();
    const prepared = (await askHealth(url, signal))?.prepared;
    if (prepared !== undefined && (prepared.waiting >= prepared.wanted || prepared.heldBack !== null)) return;
    if (Date.now() > deadline) {
      const state = JSON.stringify(prepared);
      throw new SetupError("SERVER_NOT_READY", `The invoke server prepares processes for too long: ${state}`);
    }
    await sleep(pollMs, undefined, { signal });
  }
}

async function askHealth(url: string, signal: AbortSignal): Promise<Health | undefined> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(5000)]);
  try {
    return (await (await fetch(`${url}/health`, { signal: patience })).json()) as Health;
  } catch {
    return undefined;
  }
}
