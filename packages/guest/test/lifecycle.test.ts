import { describe, expect, it } from "vitest";
import { errorOf, RuntimeProcess } from "./runtime-process.ts";

const PACKAGE = { "package.json": '{"type":"module"}' };

async function failedLoad(text: string, readyTimeoutMs = 10_000) {
  const runtime = await RuntimeProcess.start({ "index.js": text, ...PACKAGE });
  runtime.loadFunction({ readyTimeoutMs });
  return { runtime, failed: await runtime.next("functionFailed") };
}

describe("a function that does not load", () => {
  it("fails with FIRN_FUNCTION_IMPORT, message and stack when it throws at import", async () => {
    const { runtime, failed } = await failedLoad("null.property");
    await using _ = runtime;
    expect(failed.code).toBe("FIRN_FUNCTION_IMPORT");
    expect(failed.message).toContain("Cannot read properties of null");
    expect(failed.stack).toContain("index.js:1:");
  });

  it("fails with FIRN_FUNCTION_IMPORT when it is no JavaScript, does not exist, or lies outside", async () => {
    const { runtime, failed } = await failedLoad("this is no program");
    await using _ = runtime;
    expect(failed.code).toBe("FIRN_FUNCTION_IMPORT");
    for (const entry of ["other.js", "../index.js", "/etc/hostname", ""]) {
      runtime.loadFunction({ entry });
      expect((await runtime.next("functionFailed")).code).toBe("FIRN_FUNCTION_IMPORT");
    }
  });

  it("fails with FIRN_FUNCTION_IMPORT that names the exports when there is no handler", async () => {
    const { runtime, failed } = await failedLoad("export const a = 1, b = () => 2");
    await using _ = runtime;
    expect(failed).toMatchObject({
      code: "FIRN_FUNCTION_IMPORT",
      message: expect.stringContaining("exports: a, b."),
    });
  });

  it("fails with FIRN_FUNCTION_IMPORT when a promise is rejected that nobody waits for", async () => {
    const { runtime, failed } = await failedLoad(
      "Promise.reject(new Error('lost')); await new Promise(() => {})",
    );
    await using _ = runtime;
    expect(failed).toMatchObject({ code: "FIRN_FUNCTION_IMPORT", message: "lost" });
  });

  it("fails with FIRN_FUNCTION_NOT_READY when its import never ends", async () => {
    const { runtime, failed } = await failedLoad("await new Promise(() => {}); export default () => 1", 200);
    await using _ = runtime;
    expect(failed).toMatchObject({
      code: "FIRN_FUNCTION_NOT_READY",
      message: expect.stringContaining("200"),
    });
  });

  it("fails with FIRN_FUNCTION_NOT_READY when it defers and never says ready", async () => {
    const { runtime, failed } = await failedLoad(
      "import { deferReady } from '@firn/guest'; deferReady(); export default () => 1",
      200,
    );
    await using _ = runtime;
    expect(failed.code).toBe("FIRN_FUNCTION_NOT_READY");
  });

  it("fails with FIRN_FUNCTION_HOOK when a warm-up throws", async () => {
    const { runtime, failed } = await failedLoad(
      "import { warmUp } from '@firn/guest'; warmUp(async () => { throw new Error('cold') }); export default () => 1",
    );
    await using _ = runtime;
    expect(failed).toMatchObject({ code: "FIRN_FUNCTION_HOOK", message: expect.stringContaining("cold") });
  });

  it("ends the process when it calls process.exit", async () => {
    await using runtime = await RuntimeProcess.start({ "index.js": "process.exit(7)", ...PACKAGE });
    runtime.loadFunction();
    expect(await runtime.exit()).toBe(7);
  });
});

describe("hooks", () => {
  const log = `
    export const log = [];
    import { afterRestore, beforeSnapshot, warmUp } from "@firn/guest";
    const later = () => new Promise((resolve) => setTimeout(resolve, 5));
    for (const name of ["first", "second"]) {
      warmUp(async () => { await later(); log.push("warm " + name) });
      beforeSnapshot(async () => { await later(); log.push("before " + name) });
      afterRestore(async () => { await later(); log.push("after " + name) });
    }
    log.push("imported");
    export default () => log;`;
  const order = ["imported", "warm first", "warm second"];
  const round = ["before second", "before first", "after first", "after second"];

  it("run in their order, around each snapshot", async () => {
    await using runtime = await RuntimeProcess.load(log);
    expect(await runtime.call()).toEqual(order);
    await runtime.quiesce();
    await runtime.resume();
    expect(await runtime.call()).toEqual([...order, ...round]);
    await runtime.quiesce();
    await runtime.resume();
    expect(await runtime.call()).toEqual([...order, ...round, ...round]);
  });

  it("are found by a CommonJS function and by a copy of the SDK inside the function", async () => {
    await using runtime = await RuntimeProcess.start({
      "index.cjs": `
        const log = [];
        require("@firn/guest").warmUp(() => log.push("required"));
        globalThis[Symbol.for("firn.guest.lifecycle.v1")].warmUp(() => log.push("bundled"));
        module.exports = () => log;`,
    });
    runtime.loadFunction({ entry: "index.cjs" });
    await runtime.next("functionReady");
    expect(await runtime.call()).toEqual(["required", "bundled"]);
  });

  it("fail the snapshot with FIRN_FUNCTION_HOOK when one throws before it, and the function goes on", async () => {
    await using runtime = await RuntimeProcess.load(
      "import { beforeSnapshot } from '@firn/guest'; beforeSnapshot(() => { throw new Error('busy') }); export default () => 1",
    );
    runtime.send({ type: "prepareSnapshot" });
    expect(await runtime.next("functionFailed")).toMatchObject({
      code: "FIRN_FUNCTION_HOOK",
      message: expect.stringContaining("busy"),
    });
    expect(await runtime.call()).toBe(1);
  });

  it("fail the clone's invocations when one throws after the restore", async () => {
    await using runtime = await RuntimeProcess.load(
      "import { afterRestore } from '@firn/guest'; afterRestore(() => { throw new Error('no net') }); export default () => 1",
    );
    await runtime.quiesce();
    runtime.openGate();
    expect((await runtime.next("functionFailed")).code).toBe("FIRN_FUNCTION_HOOK");
    await runtime.next("resumed");
    const result = await runtime.invoke({});
    expect(errorOf(result)).toMatchObject({
      errorType: "Runtime.AfterRestoreError",
      errorMessage: expect.stringContaining("no net"),
      trace: expect.arrayContaining([expect.stringContaining("index.js:1:")]),
    });
  });

  it("deferReady() postpones the warm-up until ready()", async () => {
    await using runtime = await RuntimeProcess.load(`
      import { deferReady, ready, warmUp } from "@firn/guest";
      const log = [];
      deferReady();
      warmUp(() => log.push("warm"));
      setTimeout(() => { log.push("ready"); ready() }, 50);
      export default () => log;`);
    expect(await runtime.call()).toEqual(["ready", "warm"]);
  });
});

describe("the gate", () => {
  it("lets no timer fire before it is opened", async () => {
    await using runtime = await RuntimeProcess.load(`
      let ticks = 0;
      setInterval(() => { ticks += 1 }, 1);
      export default () => ticks;`);
    await runtime.quiesce();
    const before = runtime.output;
    await new Promise((resolve) => setTimeout(resolve, 300));
    runtime.openGate();
    await runtime.next("resumed");
    expect(runtime.output).toBe(before);
    expect(await runtime.call()).toBeLessThan(200);
  });

  it("ends the process when the agent is gone", async () => {
    await using runtime = await RuntimeProcess.load("export default () => 1");
    await runtime.quiesce();
    for (const stream of runtime.child.stdio) stream?.destroy();
    expect(await runtime.exit()).toBe(1);
  });
});
