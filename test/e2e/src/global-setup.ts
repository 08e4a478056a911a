import { execFile } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { openArmHost } from "@firn/rig";
import type { TestProject } from "vitest/node";
import { installServer, type SupervisedServer, superviseServer, untilHealth } from "./arm-server.ts";
import { FOLDER, PORT, RIG_NAME, repository } from "./environment.ts";

const BASE_TIMEOUT_MS = 15 * 60_000;

/** Brings up the ARM host and one server with an empty store, whose base snapshot is made before the first test. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await promisify(execFile)(process.execPath, ["scripts/bundle.mjs"], {
    cwd: join(repository, "apps", "invoke-server"),
  });
  const host = await openArmHost({ name: RIG_NAME });
  let server: SupervisedServer | undefined;
  const teardown = async () => {
    await server?.stop();
    await host.exec("rm", ["-rf", FOLDER]);
    await host.close();
  };
  try {
    await installServer(host);
    const log = join(repository, ".cache", "e2e-server.log");
    await mkdir(join(repository, ".cache"), { recursive: true });
    await rm(log, { force: true });
    server = await superviseServer(host, { port: PORT, store: `${FOLDER}/store`, log });
    await untilHealth(server.url, ({ status }) => status !== "starting", BASE_TIMEOUT_MS);
    await untilHealth(server.url, ({ status }) => status === "ready", 5_000);
    project.provide("url", server.url);
    project.provide("log", log);
  } catch (error) {
    await teardown();
    throw error;
  }
  return teardown;
}

declare module "vitest" {
  interface ProvidedContext {
    url: string;
    /** The file to which it logs. */
    log: string;
  }
}
