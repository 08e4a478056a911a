import { describe, expect, it } from "vitest";
import { RuntimeProcess } from "./runtime-process.ts";

const major = process.versions.node.split(".")[0];

describe("the surroundings of a function", () => {
  it("are those of AWS Lambda", async () => {
    await using runtime = await RuntimeProcess.load(
      `const atImport = { ...process.env };
       export const handler = (event, context) => ({ atImport, environment: process.env,
         context: JSON.parse(JSON.stringify(context)), left: context.getRemainingTimeInMillis(), tz: new Date(0).getHours() })`,
      { environment: { GREETING: "hi", EMPTY: "", LINES: "a\nb=c", UNICODE: "日本" } },
    );
    const { atImport, environment, context, left, tz } = (await runtime.call()) as Record<string, unknown>;
    expect(environment).toEqual({
      PATH: process.env.PATH,
      AWS_REGION: "local",
      AWS_DEFAULT_REGION: "local",
      AWS_EXECUTION_ENV: `AWS_Lambda_nodejs${major}.x`,
      AWS_LAMBDA_FUNCTION_NAME: "example",
      AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "128",
      AWS_LAMBDA_INITIALIZATION_TYPE: "snap-start",
      AWS_LAMBDA_LOG_GROUP_NAME: "/aws/lambda/example",
      AWS_LAMBDA_LOG_STREAM_NAME: expect.stringMatching(/^\d{4}\/\d\d\/\d\d\/\[\$LATEST\][0-9a-f]{32}$/),
      LAMBDA_TASK_ROOT: runtime.root,
      LAMBDA_RUNTIME_DIR: expect.stringContaining("runtime"),
      LANG: "en_US.UTF-8",
      NODE_PATH: `/opt/nodejs/node_modules:${runtime.root}`,
      TZ: ":UTC",
      _HANDLER: "index.handler",
      GREETING: "hi",
      EMPTY: "",
      LINES: "a\nb=c",
      UNICODE: "日本",
    });
    expect(atImport).toEqual(environment);
    expect(context).toEqual({
      callbackWaitsForEmptyEventLoop: true,
      awsRequestId: "request",
      functionName: "example",
      functionVersion: "$LATEST",
      invokedFunctionArn: "arn:aws:lambda:local:000000000000:function:example",
      memoryLimitInMB: "128",
      rehearsal: false,
      logGroupName: "/aws/lambda/example",
      logStreamName: (environment as Record<string, string>).AWS_LAMBDA_LOG_STREAM_NAME,
      signal: {},
    });
    expect(left).toBeGreaterThan(5000);
    expect(tz).toBe(0);
  });

  it("follow what the function's environment says", async () => {
    await using runtime = await RuntimeProcess.load(
      `export const named = () => [process.env.AWS_REGION, process.env.AWS_DEFAULT_REGION, new Date(0).getHours(), process.env._HANDLER]`,
      { handler: "named", environment: { AWS_REGION: "eu-central-1", TZ: "Asia/Tokyo" } },
    );
    expect(await runtime.call()).toEqual(["eu-central-1", "eu-central-1", 9, "index.named"]);
  });

  it("show nothing of the runtime: no arguments, no variables, no globals", async () => {
    await using runtime = await RuntimeProcess.load(`
      export const handler = () => ({
        argv: process.argv.slice(2),
        environment: Object.keys(process.env).filter((name) => name.startsWith("FIRN")),
        gc: typeof globalThis.gc,
        globals: Object.getOwnPropertyNames(globalThis).filter((name) => /firn|bridge|runtime/i.test(name)),
      })`);
    expect(await runtime.call()).toEqual({ argv: [], environment: [], gc: "undefined", globals: [] });
  });

  it("let child processes have none of the runtime's descriptors", async () => {
    await using runtime = await RuntimeProcess.load(`
      import { execFileSync } from "node:child_process";
      const linksOf = (pid) => execFileSync("sh", ["-c", "readlink /proc/" + pid + "/fd/3 /proc/" + pid + "/fd/4 || true"], { encoding: "utf8" });
      export const handler = () => [linksOf(process.pid), linksOf("self")];`);
    const [own, inChild] = (await runtime.call()) as string[];
    expect(own?.split("\n").filter((link) => link.startsWith("socket:"))).toHaveLength(2);
    expect(inChild).not.toContain("socket:");
  });

  it("let a clone log to a stream of its own", async () => {
    await using runtime = await RuntimeProcess.load(
      "export const handler = (event, context) => [process.env.AWS_LAMBDA_LOG_STREAM_NAME, context.logStreamName]",
    );
    const [before] = (await runtime.call()) as string[];
    await runtime.quiesce();
    await runtime.resume();
    const [after, inContext] = (await runtime.call()) as string[];
    expect(after).not.toBe(before);
    expect(inContext).toBe(after);
  });

  it("let CommonJS find modules from the function's folder", async () => {
    await using runtime = await RuntimeProcess.start({
      "src/app.cjs": "exports.handler = async () => require('lib/answer') + process.env._HANDLER",
      "lib/answer.js": "module.exports = 'found ';",
    });
    runtime.loadFunction({ entry: "src/app.cjs", handler: "handler" });
    await runtime.next("functionReady");
    expect(await runtime.call()).toBe("found src/app.handler");
  });
});
