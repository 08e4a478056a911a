import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ArchiveEntry, tarOf } from "../../../packages/functions/test/archives.ts";
import { type Answer, call, deploy, invoke, remove } from "./api.ts";
import { filesOf } from "./folders.ts";
import { buildGo, noGo } from "./go.ts";

const SETTINGS = { runtime: "provided.al2023", memoryMib: 128 };

interface GoAnswer {
  readonly greeting: string;
  readonly startedAt: number;
  readonly invocations: number;
  readonly random: string;
  readonly now: number;
}

function bootstrap(contents: string | Uint8Array, executable = true): ArchiveEntry {
  return { name: "bootstrap", contents, executable };
}

async function deployProgram(name: string, ...files: ArchiveEntry[]): Promise<Answer> {
  const variables = Buffer.from(JSON.stringify({ VARIABLE: "a value" })).toString("base64");
  return deploy(name, tarOf(files), SETTINGS, { "x-firn-environment": variables });
}

describe.skipIf(noGo !== undefined)(`a function in Go${noGo === undefined ? "" : ` (${noGo})`}`, () => {
  let deployed: Answer;
  beforeAll(async () => {
    deployed = await deployProgram("in-go", bootstrap(await buildGo("go-events")));
  });
  afterAll(() => remove("in-go"));

  async function ask(start: string): Promise<GoAnswer> {
    const answer = await invoke("in-go", { name: start }, { "x-firn-start": start });
    expect(answer, answer.body.toString("utf8")).toMatchObject({ status: 200, start });
    return answer.json as GoAnswer;
  }

  it("is deployed without a word about its own process", () => {
    expect(deployed.json).toMatchObject({ state: "Active", runtime: "provided", warnings: [] });
  });

  it("answers in every start mode", async () => {
    for (const start of ["cold", "warm", "base", "regular"]) {
      expect(await ask(start)).toMatchObject({
        greeting: `Hello, ${start}!`,
        variable: "a value",
        function: "in-go",
        hasDeadline: true,
      });
    }
  });

  it("was started once, before the snapshot, and each clone has its own random numbers and the time", async () => {
    const before = Date.now();
    const [first, second] = [await ask("cold"), await ask("cold")];
    const warm = await ask("warm");
    expect(first.startedAt).toBe(second.startedAt);
    expect([first.invocations, second.invocations, warm.invocations]).toEqual([1, 1, 2]);
    expect(new Set([first.random, second.random, warm.random]).size).toBe(3);
    // The clocks of this machine and the ARM host may be some seconds apart.
    for (const { now } of [first, second, warm]) expect(Math.abs(now - before)).toBeLessThan(60_000);
  });

  it("answers requests to its URL", async () => {
    const answer = await call("/url/in-go/some/path", { method: "PUT", body: "hello" });
    expect(answer).toMatchObject({ status: 201 });
    expect(answer.headers.get("x-path")).toBe("/some/path");
    expect(answer.headers.get("content-type")).toBe("text/plain");
    expect(answer.body.toString("utf8")).toBe("PUT hello");
  });

  it("fails with what it says, and the next request works", async () => {
    const failed = (fail: string) => invoke("in-go", { fail });
    expect(await failed("error")).toMatchObject({
      status: 200,
      json: { errorType: "errorString", errorMessage: "asked to fail" },
    });
    expect((await failed("panic")).json).toMatchObject({ errorMessage: "asked to panic" });
    expect((await failed("exit")).json).toMatchObject({ errorType: "Runtime.ExitError" });
    expect(await ask("auto").catch(() => invoke("in-go", { name: "again" }))).toBeDefined();
  });

  it("is stopped when it takes too long", async () => {
    const name = "slow-in-go";
    await deploy(name, tarOf([bootstrap(await buildGo("go-events"))]), { ...SETTINGS, timeoutMs: 5000 });
    try {
      const { json } = await invoke(name, { fail: "sleep" });
      expect(json).toMatchObject({ errorType: "Sandbox.Timedout" });
      expect(await invoke(name, { name: "again" })).toMatchObject({ status: 200 });
    } finally {
      await remove(name);
    }
  });
});

describe("a function that is a script of the shell", () => {
  beforeAll(() => deployProgram("in-shell", ...filesOf("shell")));
  afterAll(() => remove("in-shell"));

  it("answers cold and warm", async () => {
    for (const start of ["cold", "warm"]) {
      const answer = await invoke("in-shell", { n: 1 }, { "x-firn-start": start });
      expect(answer, answer.body.toString("utf8")).toMatchObject({
        status: 200,
        start,
        json: { got: { n: 1 } },
      });
    }
  });
});

describe("a bootstrap that cannot be started", () => {
  it.each<[string, ArchiveEntry[], RegExp]>([
    ["is missing", [{ name: "main", contents: "", executable: true }], /no file bootstrap.*main/],
    ["is not executable", [bootstrap("#!/bin/sh\n", false)], /chmod \+x bootstrap/],
    ["has no interpreter", [bootstrap("#!/bin/bash\n")], /interpreter/],
    ["is no program", [bootstrap("\x7fELF nothing")], /arm64/],
    ["exits", [bootstrap("#!/bin/sh\necho no luck\nexit 7\n")], /exited with status 7/],
  ])("is refused at the deploy when it %s", async (_, files, message) => {
    const { status, body } = await deployProgram("not-started", ...files);
    await remove("not-started");
    expect(status).toBeGreaterThanOrEqual(400);
    expect(body.toString("utf8")).toMatch(message);
  });

  it("is refused by name for the old runtime of Go", async () => {
    const { status, body } = await deploy("old-go", tarOf([bootstrap("")]), { runtime: "go1.x" });
    expect(status).toBe(400);
    expect(body.toString("utf8")).toMatch(/go1\.x.*provided\.al2023/);
  });
});
