import { type ArmHost, openArmHost } from "@firn/rig";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { tarOf } from "../../../packages/functions/test/archives.ts";
import { type Answer, call, deploy, invoke, remove } from "./api.ts";
import { superviseServer, untilHealth } from "./arm-server.ts";
import { FOLDER, PORT, RIG_NAME } from "./environment.ts";
import { printedLines } from "./server-log.ts";

afterEach(() => remove("hot"));

/** Counts its calls and those that were rehearsals; the second time that it is asked for "once", it fails. */
const COUNTING = `
  const calls = { all: 0, rehearsals: 0, once: 0 };
  export default async ({ what }, context) => {
    calls.all += 1;
    if (context.rehearsal) calls.rehearsals += 1;
    if (what === "once") calls.once += 1;
    console.log("CALL " + calls.all);
    if (calls.once > 1) throw new Error("ONCE IS ENOUGH");
    return { ...calls, rehearsal: context.rehearsal, variable: process.env.VARIABLE };
  };`;

function deployCounting(
  firn: object,
  query: Record<string, string> = {},
  environment?: Record<string, string>,
): Promise<Answer> {
  const files = [
    { name: "package.json", contents: JSON.stringify({ type: "module", firn }) },
    { name: "index.js", contents: COUNTING },
  ];
  const headers: Record<string, string> =
    environment === undefined
      ? {}
      : { "x-firn-environment": Buffer.from(JSON.stringify(environment)).toString("base64") };
  return deploy("hot", tarOf(files), query, headers);
}

const cold = async () => (await invoke("hot", {}, { "x-firn-start": "cold" })).json;

const samples = [{ event: { what: "sample" } }];

describe("the samples of a function", () => {
  it("are answered before the snapshot until they get no faster, and clones start after that", async () => {
    expect((await deployCounting({ samples })).json).toMatchObject({ state: "Active", warnings: [] });
    const first = (await cold()) as { all: number };
    const rehearsals = first.all - 1;
    expect(rehearsals).toBeGreaterThan(1);
    expect(rehearsals).toBeLessThanOrEqual(20);
    expect(first).toEqual({ all: rehearsals + 1, rehearsals, once: 0, rehearsal: false });
    expect(await cold()).toEqual(first);
    const log = `The samples were answered ${rehearsals} times before the snapshot`;
    await expect.poll(() => printedLines("hot", new RegExp(`^${log}`)).length, { timeout: 60_000 }).toBe(1);
  });

  it.each([
    ["the app", { samples, warm: false }, {}],
    ["the deploy", { samples, warm: true }, { warm: "false" }],
  ])("are not if %s says so", async (_, firn, query) => {
    expect((await deployCounting(firn, query)).json).toMatchObject({ state: "Active", warnings: [] });
    expect(await cold()).toEqual({ all: 1, rehearsals: 0, once: 0, rehearsal: false });
  });

  it("are not if variables would be missing, which is told, unless the app says that this is all right", async () => {
    const environment = { VARIABLE: "here" };
    expect((await deployCounting({ samples }, {}, environment)).json).toMatchObject({
      state: "Active",
      warnings: [{ code: "FIRN_NOT_REHEARSED", message: expect.stringContaining("VARIABLE") }],
    });
    expect(await cold()).toMatchObject({ rehearsals: 0, variable: "here" });
    for (const firn of [
      { samples, warm: true },
      { samples, snapshotEnvironment: true },
    ]) {
      const answer = await deployCounting(firn, {}, environment);
      expect(answer.json).toMatchObject({ state: "Active", warnings: [] });
      const { rehearsals, variable } = (await cold()) as { rehearsals: number; variable: string };
      expect([rehearsals > 1, variable]).toEqual([true, "here"]);
    }
  });

  it("fail the deploy if one fails, and what was printed is in the log", async () => {
    const { status, json } = await deployCounting({ samples: [{ event: { what: "once" } }] });
    expect({ status, json }).toMatchObject({
      status: 422,
      json: {
        code: "FIRN_FUNCTION_SAMPLE",
        Message: expect.stringMatching(/sample 1 .*2nd time.*ONCE IS ENOUGH.*context\.rehearsal/s),
      },
    });
    const requests = () =>
      printedLines("hot", /ONCE IS ENOUGH/).filter(({ requestId }) => requestId === "sample-1").length;
    await expect.poll(requests, { timeout: 60_000 }).toBeGreaterThan(0);
  });
});

/** Writes 4 MiB that are in the snapshot, and answers with their sum. */
const WRITING = `
  const bytes = new Uint8Array(4 << 20).fill(1);
  export default async () => {
    for (let at = 0; at < bytes.length; at += 64) bytes[at] += 1;
    return bytes.reduce((sum, byte) => sum + byte, 0);
  };`;
const SUM = (4 << 20) + (4 << 20) / 64;

describe("the first cold starts of a function without samples", () => {
  interface View {
    readonly snapshot: { readonly digest: string; readonly workingSet: { readonly writtenBytes: number } };
  }
  const archive = tarOf([
    { name: "package.json", contents: '{"type":"module"}' },
    { name: "index.js", contents: WRITING },
  ]);

  it("teach its working set, which saves later ones the faults, and leave the snapshot its name", async () => {
    expect((await deploy("hot", archive)).json).toMatchObject({ state: "Active" });
    const view = async () => ((await call("/functions/hot")).json as View).snapshot;
    const start = async () => {
      const answer = await invoke("hot", {}, { "x-firn-start": "cold", "x-firn-statistics": "1" });
      expect(answer).toMatchObject({ status: 200, json: SUM });
      return JSON.parse(answer.headers.get("x-firn-statistics") ?? "null") as { minorFaults: number };
    };
    const before = await view();
    const first = await start();
    await Promise.all([start(), start()]);
    const grown = async () => (await view()).workingSet.writtenBytes - before.workingSet.writtenBytes;
    // Short runs of pages are copied at a start in any case.
    await expect.poll(grown, { timeout: 60_000 }).toBeGreaterThanOrEqual(1 << 20);
    expect((await view()).digest).toBe(before.digest);
    await start();
    const last = await start();
    // A MiB in pages of 64 KiB, the largest that a host has.
    expect(first.minorFaults - last.minorFaults).toBeGreaterThanOrEqual(16);
  });
});

describe("another server with the same store", () => {
  let host: ArmHost;
  beforeAll(async () => {
    host = await openArmHost({ name: RIG_NAME, keep: true });
  });
  afterAll(() => host.close());

  it("has what was learnt, and learns on", async () => {
    const settings = { port: PORT + 1, store: `${FOLDER}/learning` };
    const body = tarOf([
      { name: "package.json", contents: '{"type":"module"}' },
      { name: "index.js", contents: WRITING },
    ]) as Buffer<ArrayBuffer>;
    const view = async (url: string) => {
      const response = await fetch(`${url}/functions/learning`);
      return ((await response.json()) as { snapshot: { workingSet: { writtenBytes: number } } }).snapshot;
    };
    const start = async (url: string) => {
      const response = await fetch(`${url}/2015-03-31/functions/learning/invocations`, {
        method: "POST",
        body: "{}",
        headers: { "content-type": "application/json", "x-firn-start": "cold" },
      });
      expect(await response.json()).toBe(SUM);
    };
    const written: number[] = [];
    for (const isFirst of [true, false]) {
      const server = await superviseServer(host, settings);
      try {
        await untilHealth(server.url, ({ status }) => status === "ready", 600_000);
        if (isFirst) {
          const deployed = await fetch(`${server.url}/functions/learning?timeoutMs=60000`, {
            method: "PUT",
            headers: { "content-type": "application/octet-stream" },
            body,
          });
          expect(deployed.status).toBe(201);
        }
        written.push((await view(server.url)).workingSet.writtenBytes);
        // One alone teaches nothing.
        for (let count = 0; count < (isFirst ? 1 : 2); count += 1) await start(server.url);
        if (isFirst) continue;
        const now = async () => (await view(server.url)).workingSet.writtenBytes;
        await expect.poll(now, { timeout: 60_000 }).toBeGreaterThan(written[0] as number);
      } finally {
        await server.stop();
      }
    }
    expect(written[1]).toBe(written[0]);
  });
});
