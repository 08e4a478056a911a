import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ArmHost, type ArmProcess, copyLines } from "@firn/rig";
import { FOLDER, guestImages, repository } from "./environment.ts";

const RESTART_PAUSE_MS = 500;
const KERNEL = `${FOLDER}/kernel`;
const RUNTIMES = `${FOLDER}/runtimes`;

/** How a server on the ARM host is started. */
export interface ServerSettings {
  readonly port: number;
  /** Folder of its snapshots. */
  readonly store: string;
  readonly variables?: Readonly<Record<string, string>>;
  /** A file of this machine that gets all that it logs. */
  readonly log?: string;
  /** User id to run as; root's if not said. */
  readonly userId?: number;
}

/** A server on the ARM host, started again whenever it dies. */
export interface SupervisedServer {
  /** Base URL as this machine reaches it. */
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Copies programs and guest images to the ARM host's own disk: a build that runs beside the tests replaces the originals, and what
 * the rig shares with this machine is read anew every time.
 */
export async function installServer(host: ArmHost): Promise<void> {
  const native = join(repository, "packages", "vmm", "npm", "linux-arm64-gnu");
  const files = [
    join(native, "bin", "firn-vmm"),
    join(native, "firn-vmm.linux-arm64-gnu.node"),
    join(repository, "apps", "invoke-server", "dist", "bundle", "firn-invoke-server.js"),
  ];
  const { kernel, runtimes } = guestImages();
  const script = `set -e
    rm -rf ${FOLDER}
    mkdir -p ${FOLDER}/bin
    cp ${files.join(" ")} ${FOLDER}/bin
    cp ${kernel} ${KERNEL}
    ${(await copyLines(runtimes, RUNTIMES)).join("\n")}
    chmod -R a+rX ${FOLDER}`;
  const { status, stderr } = await host.exec("sh", ["-c", script]);
  if (status !== 0) throw new Error(`The server cannot be copied to the ARM host: ${stderr}`);
}

/** Starts a server and waits until it answers; whether it is ready is for the caller to see. */
export async function superviseServer(host: ArmHost, settings: ServerSettings): Promise<SupervisedServer> {
  const url = `http://127.0.0.1:${await host.port(settings.port)}`;
  let stopping = false;
  let child: ArmProcess;
  const log: string[] = [];
  const supervise = async () => {
    while (!stopping) {
      child = host.spawn("sh", ["-c", startScript(settings)], { env: variables(host, settings) });
      for (const stream of [child.stdout, child.stderr]) {
        stream.on("data", (chunk: Buffer) => {
          log.push(chunk.toString("utf8"));
          if (settings.log !== undefined) appendFileSync(settings.log, chunk);
          if (process.env.FIRN_E2E_LOG === "1") process.stderr.write(chunk);
          log.splice(0, log.length - 50);
        });
      }
      await child.exited;
      await sleep(RESTART_PAUSE_MS);
    }
  };
  const ended = supervise();
  const stop = async () => {
    stopping = true;
    await child.kill("TERM");
    const late = sleep(30_000, "late", { ref: false });
    if ((await Promise.race([ended, late])) === "late") await child.kill("KILL");
  };
  try {
    await untilHealth(url, () => true, 60_000);
  } catch (cause) {
    await stop();
    throw new Error(`The server does not answer. Its last words:\n${log.join("")}`, { cause });
  }
  return { url, stop };
}

/** Starts a server that is to refuse to, and gives how it ended. */
export async function refuseServer(host: ArmHost, settings: ServerSettings) {
  const env = variables(host, settings);
  return host.exec("sh", ["-c", startScript(settings)], { env, timeoutMs: 60_000 });
}

/** What `GET /health` says. */
export interface Health {
  readonly status: string;
  readonly kvm: { readonly available: boolean; readonly reason?: string };
  readonly jail: { readonly available: boolean; readonly level?: string };
  readonly base: { readonly state: string; readonly message?: string };
  readonly instances: { readonly busy: number; readonly idle: number };
  /** Processes that wait for cold starts. */
  readonly prepared: Readonly<
    Record<"waiting" | "wanted" | "hits" | "misses" | "prepared" | "failures" | "died", number>
  >;
}

/** Polls a server's health until it is as wanted. */
export async function untilHealth(
  url: string,
  wanted: (health: Health) => boolean,
  timeoutMs: number,
): Promise<Health> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown;
  while (Date.now() < deadline) {
    try {
      const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(10_000) });
      const health = (await response.json()) as Health;
      if (wanted(health)) return health;
      last = health;
    } catch (error) {
      last = error;
    }
    await sleep(250);
  }
  throw new Error(`The server at ${url} was not as wanted after ${timeoutMs} ms: ${JSON.stringify(last)}`, {
    cause: last,
  });
}

function startScript({ store, userId }: ServerSettings): string {
  const run = "exec node --disable-warning=ExperimentalWarning";
  const program = `${FOLDER}/bin/firn-invoke-server.js`;
  if (userId === undefined) return `mkdir -p ${store} && echo $$ > ${store}/pid && ${run} ${program}`;
  // The program that other systems have for this is not in the rig.
  const drop = `data:text/javascript,process.setgroups([]);process.setgid(${userId});process.setuid(${userId})`;
  return `mkdir -p ${store} && chown ${userId} ${store} && ${run} --import '${drop}' ${program}`;
}

function variables(host: ArmHost, settings: ServerSettings): Record<string, string> {
  return {
    FIRN_KERNEL: KERNEL,
    FIRN_RUNTIMES: RUNTIMES,
    FIRN_VMM_BINARY: `${FOLDER}/bin/firn-vmm`,
    FIRN_VMM_ADDON: `${FOLDER}/bin/firn-vmm.linux-arm64-gnu.node`,
    FIRN_STORE: settings.store,
    FIRN_PORT: String(settings.port),
    FIRN_HOST: host.kind === "rig" ? "0.0.0.0" : "127.0.0.1",
    FIRN_DEADLINE_FACTOR: "10",
    FIRN_DEBUG_HEADERS: "1",
    ...settings.variables,
  };
}
