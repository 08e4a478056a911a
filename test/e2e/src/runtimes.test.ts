import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { invoke, remove } from "./api.ts";
import { guestImages } from "./environment.ts";
import { deployed, deployFolder } from "./folders.ts";

/** What is looked at in a runtime's manifest. */
interface Manifest {
  readonly name: string;
  readonly lambdaRuntimes: readonly string[];
  readonly version: string;
}

interface Answer {
  readonly version: string;
  readonly importedAt: number;
  readonly invocations: number;
  readonly uuid: string;
}

const { runtimes } = guestImages();
const all = readdirSync(runtimes)
  .sort()
  .map((name) => JSON.parse(readFileSync(join(runtimes, name, "runtime.json"), "utf8")) as Manifest);
/** Those on which the function of this test runs. */
const manifests = all.filter(({ lambdaRuntimes }) => lambdaRuntimes.some((name) => /^nodejs/.test(name)));

beforeAll(async () => {
  for (const { name } of manifests) await deployed(`on-${name}`, "runtime", { query: { runtime: name } });
});
afterAll(() => Promise.all(manifests.map(({ name }) => remove(`on-${name}`))));

async function ask(name: string, start: string): Promise<Answer> {
  const answer = await invoke(`on-${name}`, {}, { "x-firn-start": start });
  expect(answer).toMatchObject({ status: 200, start });
  return answer.json as Answer;
}

describe("functions on several runtimes side by side", () => {
  it("run on the runtime that each was deployed for, in every start mode", async () => {
    for (const start of ["cold", "warm", "base", "regular"]) {
      const answers = await Promise.all(manifests.map(({ name }) => ask(name, start)));
      expect(answers.map(({ version }) => version)).toEqual(manifests.map(({ version }) => `v${version}`));
    }
  });

  it("start from snapshots of their own, whose clones differ", async () => {
    for (const { name } of manifests) {
      const [first, second] = [await ask(name, "cold"), await ask(name, "cold")];
      expect([first.invocations, second.invocations]).toEqual([1, 1]);
      expect(first.importedAt).toBe(second.importedAt);
      expect(first.uuid).not.toBe(second.uuid);
    }
  });

  it("are refused for a runtime that there is not, and those that there are are named", async () => {
    const { status, body } = await deployFolder("on-nothing", "runtime", { query: { runtime: "cobol85" } });
    expect(status).toBe(400);
    for (const { name } of all) expect(body.toString("utf8")).toContain(name);
  });
});
