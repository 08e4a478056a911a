import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { compileFunctions } from "./test/compile.ts";
import { Launched } from "./test/launched.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 900_000 });

const root = mkdtempSync(join(tmpdir(), "firn-java-functions-"));
beforeAll(() => compileFunctions(root));
afterAll(() => rmSync(root, { recursive: true }));

/** A function that was loaded and restored. */
async function restored(handler: string, environment?: Record<string, string>): Promise<Launched> {
  const launched = await Launched.start(root);
  await launched.load(handler, environment);
  await launched.restore();
  return launched;
}

/** What is said of a function that cannot be loaded. */
async function refused(handler: string, environment?: Record<string, string>): Promise<unknown> {
  await using launched = await Launched.start(root);
  await launched.load(handler, environment);
  const asked = await launched.asks("/2018-06-01/runtime/init/error");
  asked.answer(202);
  expect(await launched.ends()).toBeGreaterThan(0);
  return JSON.parse(asked.body);
}

describe("the launcher", () => {
  it("answers by a RequestHandler, with all that is around a function on AWS", async () => {
    await using launched = await restored("example.Greeting", {
      MINE: "yes",
      JAVA_TOOL_OPTIONS: "-Dmine=property -XX:+TieredCompilation -XX:TieredStopAtLevel=1",
    });
    const client = JSON.stringify({ custom: { k: "v" } });
    expect(await launched.invoke({ name: "Ädä" }, { "Lambda-Runtime-Client-Context": client })).toEqual({
      greeting: "Hello, Ädä!",
      atLoad: "yes",
      function: "example",
      memory: 256,
      requestId: "id-1",
      remains: true,
      arn: "arn:example",
      client: { k: "v" },
      handler: "example.Greeting",
      property: "property",
      loader: true,
      file: "a file",
      child: ["yes", root],
    });
    await launched.asks("/firn/v1/invocation/next");
    expect(launched.stdout).toBe("a line\nlogged\nbare\n");
    expect(launched.stderr).toBe("a complaint\n");
  });

  it("answers by a RequestStreamHandler, and by any method", async () => {
    await using upper = await restored("example.Upper");
    expect(await upper.invoke("straße")).toBe("STRASSE");
    await using method = await restored("example.Greeting::length");
    expect(await method.invoke({ name: "four" })).toBe(4);
    expect(await method.invoke({ name: "seven.." })).toBe(7);
  });

  it("tells what a function throws in the words of Lambda, and goes on", async () => {
    await using launched = await restored("example.Failing");
    const { path, body } = await launched.sends({ how: "cause" });
    expect(path).toBe("/2018-06-01/runtime/invocation/id-1/error");
    expect(JSON.parse(body)).toEqual({
      errorMessage: "outside",
      errorType: "java.lang.IllegalStateException",
      stackTrace: [
        expect.stringMatching(/^example\.Failing\.handleRequest\(Failing\.java:\d+\)$/),
        expect.any(String),
      ],
      cause: {
        errorMessage: "inside",
        errorType: "java.lang.IllegalArgumentException",
        stackTrace: expect.any(Array),
      },
    });
    expect(body).not.toContain("dev.firn");
    expect(launched.stdout).toContain("outside: java.lang.IllegalStateException");
    expect(await launched.invoke({})).toBe("fine");
    // As on AWS: a virtual machine that has failed is not used again.
    expect(JSON.parse((await launched.sends({ how: "overflow" })).body)).toMatchObject({
      errorType: "java.lang.StackOverflowError",
    });
    expect(await launched.ends()).toBe(1);
  });

  it("answers samples before its snapshot", async () => {
    await using launched = await Launched.start(root);
    await launched.load("example.Hooked");
    expect(await launched.invoke({})).toEqual([]);
    await launched.restore();
    expect(await launched.invoke({})).toHaveLength(4);
  });

  it("says at once why a function cannot be loaded", async () => {
    expect(await refused("example.Nobody")).toMatchObject({
      errorType: "java.lang.ClassNotFoundException",
      errorMessage: expect.stringContaining("Class not found: example.Nobody"),
    });
    expect(await refused("::")).toMatchObject({
      errorMessage: expect.stringContaining("package.Class::method"),
    });
    expect(await refused("example.Greeting::nothing")).toMatchObject({
      errorMessage: expect.stringContaining("nothing"),
    });
    expect(await refused("example.Failing$AtLoad")).toMatchObject({
      errorType: "java.lang.IllegalStateException",
      errorMessage: expect.stringContaining("not today"),
    });
    expect(await refused("example.Failing$Made")).toMatchObject({
      errorMessage: expect.stringContaining("not made"),
    });
    expect(await refused("example.Upper", { JAVA_TOOL_OPTIONS: "-Da=b -Xmx1g" })).toMatchObject({
      errorMessage: expect.stringMatching(/JAVA_TOOL_OPTIONS asks for -Xmx1g, which/),
    });
  });

  it("runs the hooks of CRaC in their order, and tells which failed", async () => {
    await using launched = await restored("example.Hooked");
    expect(await launched.invoke({})).toEqual([
      "before second",
      "before first",
      "after first",
      "after second",
    ]);
    await using unprepared = await Launched.start(root);
    await unprepared.load("example.Hooked", { FAIL: "before" });
    (await unprepared.asks("/firn/v1/invocation/next")).answer(204);
    const before = await unprepared.asks("/2018-06-01/runtime/init/error");
    before.answer(202);
    expect(JSON.parse(before.body)).toMatchObject({
      errorType: "java.lang.IllegalStateException",
      errorMessage: "before second",
    });
    expect(await unprepared.ends()).toBe(64);
    await using failing = await restored("example.Hooked", { FAIL: "after" });
    const asked = await failing.asks("/2018-06-01/runtime/restore/error");
    expect(JSON.parse(asked.body)).toMatchObject({ errorMessage: "after first" });
  });

  it("gives every source of random numbers another state in a clone", async () => {
    const draws = async (asClone: boolean) => {
      await using launched = await Launched.start(root);
      await launched.load("example.Draws");
      await launched.restore({ asClone });
      return (await launched.invoke({})) as Record<string, boolean>;
    };
    const same = (answer: Record<string, boolean>, wanted: boolean) =>
      Object.entries(answer).filter(([, isSame]) => isSame !== wanted);
    // Without a restore they go on: so the test can tell.
    expect(same(await draws(false), true)).toEqual([]);
    expect(same(await draws(true), false)).toEqual([]);
  });

  it("renews them when a clone is resumed while it waits for an invocation", async () => {
    await using launched = await Launched.start(root);
    await launched.load("example.Draws");
    await launched.restore({ asClone: false });
    launched.advanceGeneration();
    const answer = (await launched.invoke({})) as Record<string, boolean>;
    expect(Object.values(answer).some((isSame) => isSame)).toBe(false);
  });
});
