import { stopRig } from "../test/rig/src/down.ts";
import type { ArmHost } from "../test/rig/src/index.ts";
import { rigFiles } from "../test/rig/src/state.ts";
import { hasUsableKvm } from "./machine.ts";
import { main } from "./main.ts";
import { runOnce } from "./once.ts";
import { parseUpOptions, type UpOptions } from "./options.ts";
import { step } from "./progress.ts";
import { curlLine, type Deployed, deploy, exampleFunctions, firnLines } from "./steps/deploy.ts";
import { openHost, prepareEverything } from "./steps/prepare.ts";
import { assertPortFree, type RunningServer, startServer } from "./steps/server.ts";
import { formatBytes } from "./table.ts";

const rigName = "up";
const patienceMs = 1000;

await main(async (argv) => {
  const options = parseUpOptions(argv);
  const stop = new AbortController();
  let asked = Number.POSITIVE_INFINITY;
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => {
      // Whoever asks twice is not willing to wait. One Ctrl-C comes several times, from the terminal and through npm.
      if (performance.now() > asked + patienceMs) process.exit(130);
      asked = Math.min(asked, performance.now());
      stop.abort();
    });
  }
  try {
    return await run(options, stop.signal);
  } catch (error) {
    if (stop.signal.aborted) return 130;
    throw error;
  }
});

async function run(options: UpOptions, signal: AbortSignal): Promise<number> {
  await assertPortFree(options.port);
  const images = await prepareEverything();
  signal.throwIfAborted();
  let host: ArmHost | undefined;
  let server: RunningServer | undefined;
  try {
    // One that a killed `npm run up` left behind may still serve.
    if (!hasUsableKvm()) await stopRig(rigFiles(rigName));
    host = await openHost({ name: rigName, gic: options.gic, keepData: true });
    signal.throwIfAborted();
    const arm = host;
    server = await step("invoke server and base snapshot", () =>
      startServer(arm, images, options.port, signal),
    );
    const deployed = await deployExamples(server.url, signal);
    if (options.once) {
      await runOnce(server.url, deployed, signal);
      return 0;
    }
    console.log(`\nFirn serves on ${server.url}. Its log: ${server.log}\n`);
    for (const example of exampleFunctions) console.log(`  ${curlLine(server.url, example)}`);
    console.log("\nFunctions of your own, in another terminal:\n");
    for (const line of firnLines(server.url)) console.log(`  ${line}`);
    console.log("\nCtrl-C stops everything.");
    return await untilStopped(server, signal);
  } finally {
    await step("stopped", async () => {
      await server?.stop();
      await host?.close();
    });
  }
}

async function deployExamples(url: string, signal: AbortSignal): Promise<Deployed[]> {
  const all: Deployed[] = [];
  for (const example of exampleFunctions) {
    const deployed = await step(`deploy ${example.name}`, () => deploy(url, example, signal));
    all.push(deployed);
    const { snapshot, memoryMib } = deployed;
    if (snapshot === null) continue;
    const part = ((100 * snapshot.layerBytes) / snapshot.memoryBytes).toFixed(1);
    console.error(`  its diff: ${formatBytes(snapshot.layerBytes)}, ${part} % of ${memoryMib} MiB`);
  }
  return all;
}

async function untilStopped(server: RunningServer, signal: AbortSignal): Promise<number> {
  const stopped = new Promise<"stopped">((resolve) =>
    signal.addEventListener("abort", () => resolve("stopped")),
  );
  const outcome = await Promise.race([stopped, server.exited]);
  if (outcome === "stopped") return 0;
  console.error(`✗ The invoke server ended with status ${outcome}. Its log: ${server.log}`);
  return 1;
}
