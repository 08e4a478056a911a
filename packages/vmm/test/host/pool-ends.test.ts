import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createMicrovmPool } from "../../src/index.ts";
import { exists, isRunning, kill, until } from "../support/processes.ts";
import { type PoolBehaviour, StandIn } from "./stand-in.ts";

const standIn = new StandIn();
afterAll(() => standIn.remove());

const layer = (byte: string) => ({ path: standIn.path, digest: `sha256:${byte.repeat(32)}` });
const base = { layers: [layer("aa")], statePath: standIn.path };
const diff = { ...base, layers: [...base.layers, layer("dd")], rootDiskPath: standIn.path, leaf: true };

/** Every point at which a process of a pool can be, and what holds it there. */
const POINTS: ["preparing" | "waiting" | "restoring" | "serving", PoolBehaviour][] = [
  ["preparing", { whilePreparing: "exec cat > /dev/null" }],
  ["waiting", {}],
  ["restoring", { whileRestoring: "exec cat > /dev/null" }],
  ["serving", {}],
];
const user = new URL("../support/pool-user.ts", import.meta.url);
const taker = new URL("../support/stream-taker.ts", import.meta.url);

// What Node.js keeps from the first thread on is not counted.
beforeAll(async () => {
  standIn.servePool();
  const thread = new Worker(user, { workerData: { base, diff }, stdout: true });
  await until("a process is there", () => standIn.at("waiting").length > 0, 60_000);
  await thread.terminate();
}, 60_000);

/** How many entries a folder of this process has. */
const count = (folder: "fd" | "task") => readdirSync(`/proc/self/${folder}`).length;
const all = () => [...new Set([...standIn.at("preparing"), ...standIn.at("restoring")])];

describe.each(POINTS)("at the point %s", (point, behaviour) => {
  it("the end of Node leaves no process", async () => {
    standIn.servePool(behaviour);
    const node: ChildProcess = spawn(process.execPath, [user.pathname, JSON.stringify({ base, diff })], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    await until("a process is there", () => standIn.at(point).length > 0);
    node.kill("SIGKILL");
    await until("all processes are gone", () => all().every((pid) => !isRunning(pid)));
  });

  it("the end of the thread leaves no process, descriptor or thread", async () => {
    standIn.servePool(behaviour);
    const before = { fd: count("fd"), task: count("task") };
    const thread = new Worker(user, { workerData: { base, diff }, stdout: true });
    await until("a process is there", () => standIn.at(point).length > 0);
    await thread.terminate();
    await until("all processes are gone", () => all().every((pid) => !exists(pid)));
    await until("all is given back", () => count("task") <= before.task && count("fd") <= before.fd);
  });

  it("the end of the process costs nobody a microVM but who had one, and it is reaped", async () => {
    standIn.servePool(behaviour);
    await using pool = createMicrovmPool({ bases: [base], size: 1 });
    const isTaken = point === "restoring" || point === "serving";
    const restored = isTaken ? pool.filled().then(() => pool.restore(diff)) : undefined;
    await until("a process is there", () => standIn.at(point).length > 0);
    if (point === "waiting") await pool.filled();
    const [pid] = standIn.at(point) as [number];
    standIn.servePool();
    expect(kill(pid)).toBe(true);
    await until("it is reaped", () => !exists(pid));
    const taken = await restored;
    if (point === "serving")
      expect(await taken?.exited).toMatchObject({ error: { code: "FIRN_VMM_CRASHED" } });
    if (point === "restoring") expect([taken?.pid === pid, taken?.pooled]).toEqual([false, false]);
    await taken?.close();
    await using microvm = await pool.restore(diff);
    expect(microvm.pid).not.toBe(pid);
    await until("another one waits", () => pool.statistics().waiting === 1);
    const { failures, died, lastFailure } = pool.statistics();
    const ended = point === "waiting" || point === "restoring";
    expect([failures, died], String(lastFailure)).toEqual([point === "preparing" ? 1 : 0, ended ? 1 : 0]);
  });
});

it("the end of the thread while it takes over a microVM's stream leaves no process or descriptor", async () => {
  standIn.servePool();
  const before = count("fd");
  const thread = new Worker(taker, { workerData: { base, diff }, stdout: true });
  await once(thread, "exit");
  expect(standIn.at("restoring")).toHaveLength(1);
  await until("all processes are gone", () => all().every((pid) => !exists(pid)));
  await until("all is given back", () => count("fd") <= before);
});
