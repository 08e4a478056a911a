import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { writeRuntime } from "../../../packages/snapshots/test/snapshots.ts";
import { readConfig } from "../src/config.ts";
import { startServer } from "../src/server.ts";

/** A configuration with an empty store of its own, what is logged with it, and the folder to remove afterwards. */
export async function configForTest(environment: NodeJS.ProcessEnv = {}) {
  const root = await mkdtemp(join(tmpdir(), "firn-server-"));
  await writeFile(join(root, "kernel"), "kernel");
  for (const version of [22, 24]) {
    const entryPoints = { default: "index", extensions: [".js", ".mjs"], packageFile: "package.json" };
    const manifest = { lambdaRuntimes: [`nodejs${version}.x`], entryPoints };
    await writeRuntime(join(root, "runtimes", `node${version}`), `node${version}`, manifest);
  }
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => lines.push(JSON.parse(line)) });
  const config = readConfig([], {
    FIRN_PORT: "0",
    FIRN_STORE: join(root, "store"),
    FIRN_KERNEL: join(root, "kernel"),
    FIRN_RUNTIMES: join(root, "runtimes"),
    ...environment,
  });
  return { root, config, log, lines };
}

/** Starts the real server on a free port with an empty store, and gives what it logs. */
export async function serveForTest(environment: NodeJS.ProcessEnv = {}) {
  const { root, config, log, lines } = await configForTest(environment);
  const server = await startServer(config, log);
  return {
    root,
    config,
    url: server.url,
    lines,
    stop: server.stop,
    async [Symbol.asyncDispose]() {
      await server.stop();
      await rm(root, { recursive: true, force: true });
    },
  };
}
