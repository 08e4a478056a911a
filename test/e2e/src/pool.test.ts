import { type ArmHost, openArmHost } from "@firn/rig";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { invoke, remove, url } from "./api.ts";
import { type Health, untilHealth } from "./arm-server.ts";
import { FOLDER, RIG_NAME } from "./environment.ts";
import { deployHello } from "./examples.ts";

const COLD = { "x-firn-start": "cold", "x-firn-statistics": "1" };
const FULL_MS = 120_000;

let host: ArmHost;
beforeAll(async () => {
  host = await openArmHost({ name: RIG_NAME, keep: true });
  await deployHello("pooled");
});
afterAll(async () => {
  await remove("pooled");
  await host.close();
});

const health = () => untilHealth(url, () => true, 10_000);
const full = ({ prepared }: Health) => prepared.waiting === prepared.wanted && prepared.wanted > 0;
const untilFull = () => untilHealth(url, full, FULL_MS);

async function run(command: string): Promise<string> {
  const { stdout } = await host.exec("sh", ["-c", command]);
  return stdout.trim();
}

/** The numbers of all VMM processes of the server under test. */
async function vmms(): Promise<string[]> {
  return (await run("pgrep -f '[/]e2e/bin/firn-vmm'")).split("\n").filter(Boolean);
}

async function answersCold(): Promise<void> {
  const { status, start, json } = await invoke("pooled", {}, COLD);
  expect({ status, start, json }).toEqual({
    status: 200,
    start: "cold",
    json: { greeting: "Hello, world!" },
  });
}

describe("cold starts", () => {
  it("take a process that waits, and say so; another one takes its place", async () => {
    for (let time = 0; time < 3; time += 1) {
      const before = await untilFull();
      const answer = await invoke("pooled", {}, COLD);
      expect(answer.status).toBe(200);
      expect(Object.keys(answer.phases)).toEqual(["locate", "pooled", "resume", "invoke", "total"]);
      const statistics = JSON.parse(answer.headers.get("x-firn-statistics") ?? "null");
      expect(statistics.phases.createVm).toBe(0);
      expect(statistics.kvmExits).toBeGreaterThan(0);
      const after = await untilFull();
      expect(after.prepared.hits - before.prepared.hits).toBe(1);
      expect(after.prepared.misses).toBe(before.prepared.misses);
      expect(after.prepared.prepared).toBeGreaterThan(before.prepared.prepared);
    }
  });

  it("are answered when more come than processes wait", async () => {
    const before = await untilFull();
    await Promise.all(Array.from({ length: before.prepared.waiting + 2 }, answersCold));
    const { prepared } = await untilFull();
    expect(prepared.hits).toBeGreaterThan(before.prepared.hits);
    expect(prepared.misses).toBeGreaterThan(before.prepared.misses);
    expect(prepared.failures).toBe(before.prepared.failures);
  });

  it("go on when every process that waits is killed", async () => {
    const before = await untilFull();
    const pids = await vmms();
    await run(`kill -9 ${pids.join(" ")}`);
    await answersCold();
    const { prepared } = await untilFull();
    expect(prepared.died - before.prepared.died).toBeGreaterThan(0);
    expect((await vmms()).filter((pid) => pids.includes(pid))).toEqual([]);
    await answersCold();
  });
});

describe("a server that is killed", () => {
  it.each([
    ["while processes wait", async () => void (await untilFull())],
    [
      "while processes are prepared, restored and serve",
      async () => {
        // What is under way ends with the server.
        for (let start = 0; start < 4; start += 1) void answersCold().catch(() => {});
        const { prepared } = await health();
        await untilHealth(url, (now) => now.prepared.hits > prepared.hits, FULL_MS);
      },
    ],
  ])("leaves nothing: %s", async (_, reach) => {
    await untilFull();
    await reach();
    const pids = await vmms();
    expect(pids.length).toBeGreaterThan(0);
    await run(`kill -9 $(cat ${FOLDER}/store/pid)`);
    await expect
      .poll(async () => (await vmms()).filter((pid) => pids.includes(pid)), { timeout: 20_000 })
      .toEqual([]);
    await untilHealth(url, ({ status }) => status === "ready", FULL_MS);
    expect(await run(`ls ${FOLDER}/store/images/tmp`)).toBe("");
    await untilFull();
    await answersCold();
  });
});
