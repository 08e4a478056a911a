import { afterEach, describe, expect, it } from "vitest";
import { tarOf } from "../../../packages/functions/test/archives.ts";
import { type Answer, deploy, invoke, remove } from "./api.ts";
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
