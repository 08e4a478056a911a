import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call, deployModule, invoke, remove } from "./api.ts";
import { deployed } from "./folders.ts";

const CLONES = 3;
/** More by `npm run soak`; the variable is for those who have a day, and want 10,000. */
const RANDOM_CLONES = Number(process.env.FIRN_CLONES ?? (process.env.FIRN_SOAK === "1" ? 200 : CLONES));
/** How far the clocks of this machine and the ARM host may be apart. */
const CLOCKS_MS = 5_000;
/** How long the snapshot lies before the clocks are read: longer than any skew that is let pass. */
const SHELF_MS = 20_000;

beforeAll(async () => {
  await deployed("clones", "clones");
});
afterAll(() => remove("clones"));

async function ask(operation: string, start = "cold"): Promise<Record<string, unknown>> {
  const { json, body } = await invoke("clones", { operation }, { "x-firn-start": start });
  if (typeof json !== "object" || json === null) throw new Error(body.toString("utf8"));
  return json as Record<string, unknown>;
}

describe("clones of one snapshot", () => {
  it("draw different random numbers in threads and forked processes, and have names of their own", async () => {
    const { json } = await call("/functions/clones");
    expect(JSON.stringify(json)).not.toContain("FIRN_CHILD_PROCESS");
    const answers: Record<string, unknown>[] = [];
    for (let clone = 0; clone < RANDOM_CLONES; clone += 1) answers.push(await ask("random"));
    for (const name of Object.keys(answers[0] ?? {})) {
      expect([name, new Set(answers.map((answer) => answer[name])).size]).toEqual([name, RANDOM_CLONES]);
    }
  }, 86_400_000);

  it("give other pieces of a pool of random bytes; what else they share is in the deploy's answer", async () => {
    const source = `
      import { spawn } from "node:child_process";
      import { randomBytes } from "node:crypto";
      const pool = randomBytes(1024);
      const serial = randomBytes(4).toString("hex");
      spawn("/bin/sh", ["-c", "read line"]);
      export default () => ({ piece: pool.toString("hex", 0, 16), serial });`;
    const deployed = await deployModule("sharing", source);
    const json = deployed.json as { warnings: unknown };
    expect(json).toMatchObject({
      state: "Active",
      warnings: expect.arrayContaining([
        { code: "FIRN_CHILD_PROCESS", message: expect.stringContaining("sh") },
        { code: "FIRN_RANDOM_BEFORE_SNAPSHOT", message: expect.stringContaining("index.js:5 (randomBytes)") },
      ]),
    });
    expect((await call("/functions/sharing")).json).toMatchObject({ warnings: json.warnings });
    const clones: { piece: string; serial: string }[] = [];
    for (let clone = 0; clone < CLONES; clone += 1) {
      const { json } = await invoke("sharing", {}, { "x-firn-start": "cold" });
      clones.push(json as { piece: string; serial: string });
    }
    expect(new Set(clones.map(({ piece }) => piece)).size).toBe(CLONES);
    expect(new Set(clones.map(({ serial }) => serial)).size).toBe(1);
    await remove("sharing");
  });

  it("know the time, whatever the snapshot's age", async () => {
    await sleep(SHELF_MS);
    const before = Date.now();
    const { now, sinceImport, dateHeaderSkew, performanceSkew } = (await ask("clocks")) as Record<
      string,
      number
    >;
    expect(now).toBeGreaterThan(before - CLOCKS_MS);
    expect(now).toBeLessThan(Date.now() + CLOCKS_MS);
    expect(sinceImport).toBeGreaterThanOrEqual(SHELF_MS);
    expect(Math.abs(dateHeaderSkew ?? Number.NaN)).toBeLessThan(SHELF_MS / 2);
    expect(Math.abs(performanceSkew ?? Number.NaN)).toBeLessThan(1000);
  });

  it("go on with timers where they were: none fires in a burst, none is lost", async () => {
    const { first, during, slept, aborted } = (await ask("timers")) as Record<string, number>;
    // The shelf is not made up for.
    expect(first).toBeLessThan(SHELF_MS / 1000);
    expect(during).toBeGreaterThanOrEqual(2);
    expect(slept).toBeGreaterThanOrEqual(2900);
    expect(aborted).toBe(false);
  });

  it("have connections to themselves that were open before, and use them", async () => {
    for (const start of ["cold", "warm", "cold"]) {
      expect(await ask("ping", start)).toEqual({ answers: ["pong", 200] });
    }
  });

  it("find no network, and are told so at once", async () => {
    const { localhost, ...failures } = await ask("network");
    expect(localhost).toBe("pong");
    for (const failure of Object.values(failures)) expect(failure).toMatch(/^E[A-Z_]+$/);
  });
});
