import { expect, it } from "vitest";
import { errorOf, RuntimeProcess } from "./runtime-process.ts";

it("the environment of a clone is there for its after-restore hooks, and in no snapshot before", async () => {
  await using runtime = await RuntimeProcess.start({
    "index.cjs": `
      const { afterRestore } = require("@firn/guest");
      const atImport = process.env.SECRET;
      let inHook;
      afterRestore(() => { inHook = process.env.SECRET });
      exports.handler = async () => [atImport, inHook, process.env.SECRET, new Date(0).getHours()];`,
  });
  runtime.loadFunction({ entry: "index.cjs" });
  await runtime.next("functionReady");
  await runtime.quiesce();
  runtime.openGate(undefined, { SECRET: "s", TZ: "Asia/Tokyo", NODE_DEBUG: "http" });
  await runtime.next("resumed");
  expect(await runtime.call()).toEqual([null, "s", "s", 9]);
  expect(runtime.output).toContain("Warning: NODE_DEBUG has no effect");
});

it("the environment of a function that was not restored comes after its import", async () => {
  await using runtime = await RuntimeProcess.load("export default () => process.env.SECRET ?? 'none'");
  expect(await runtime.call()).toBe("none");
  runtime.send({ type: "setEnvironment", environment: { SECRET: "s" } });
  expect(await runtime.call()).toBe("s");
});

it("a variable that was read in vain at the import is named when it comes", async () => {
  await using runtime = await RuntimeProcess.load(`
    const { TABLE, NODE_ENV } = process.env;
    const kept = process.env;
    export default () => [TABLE ?? "none", process.env.TABLE, kept.TABLE, process.env.LATER, Object.keys(process.env).includes("TABLE")];`);
  await runtime.quiesce();
  runtime.openGate(undefined, { TABLE: "t", LATER: "l" });
  await runtime.next("resumed");
  expect(await runtime.call()).toEqual(["none", "t", "t", "l", true]);
  expect(runtime.output).toContain("Warning: TABLE: read while the module was imported");
  expect(runtime.output).not.toContain("LATER");
});

it("an invocation brings its trace, its client context, and what it was invoked as", async () => {
  await using runtime = await RuntimeProcess.load(`export const handler = (event, context) => [
    process.env._X_AMZN_TRACE_ID, context.clientContext, context.functionVersion, context.invokedFunctionArn];`);
  const invoke = {
    type: "invoke",
    requestId: "r",
    timeoutMs: 5000,
    kind: "event",
    payload: Buffer.from("{}"),
  } as const;
  const arn = "arn:aws:lambda:local:000000000000:function:example:7";
  runtime.send({
    ...invoke,
    id: 100,
    traceId: "Root=1-2-3",
    clientContext: '{"custom":{"k":"v"}}',
    functionVersion: "7",
    functionArn: arn,
  });
  const result = await runtime.next("invokeResult");
  expect(JSON.parse(Buffer.from(result.payload).toString())).toEqual([
    "Root=1-2-3",
    { custom: { k: "v" } },
    "7",
    arn,
  ]);
  runtime.send({ ...invoke, id: 101, clientContext: "no JSON" });
  expect(errorOf(await runtime.next("invokeResult")).errorMessage).toContain("client context");
});

it("invocations of a clone whose after-restore hook fails say so", async () => {
  await using runtime = await RuntimeProcess.load(
    "import { afterRestore } from '@firn/guest'; afterRestore(() => { throw new Error('no net') }); export default () => 1",
  );
  await runtime.quiesce();
  runtime.openGate();
  await runtime.next("functionFailed");
  await runtime.next("resumed");
  expect(errorOf(await runtime.invoke({}))).toMatchObject({
    errorType: "Runtime.AfterRestoreError",
    errorMessage: expect.stringContaining("no net"),
    trace: expect.arrayContaining([expect.stringContaining("index.js:1:")]),
  });
});
