import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { errorOf, linesOf, RuntimeProcess, textOf } from "./runtime-process.ts";

// Each path is a way to answer.
let runtime: RuntimeProcess;
beforeAll(async () => {
  runtime = await RuntimeProcess.load(`
    import { Readable } from "node:stream";
    import { pipeline } from "node:stream/promises";
    const log = [];
    const tick = () => new Promise((resolve) => setTimeout(resolve, 5));
    const ways = {
      log: (stream) => stream.end(log.splice(0).join()),
      parts: async (stream) => { stream.setContentType("text/plain"); stream.write("one "); await tick(); stream.write(Buffer.from("two ")); stream.end(new Uint8Array([51])); },
      pipeline: (stream) => pipeline(Readable.from(["a", "b", "c"]), stream),
      json: (stream) => { stream.write({ a: 1 }); stream.end([2]); },
      head: async (stream) => {
        stream = awslambda.HttpResponseStream.from(stream, { statusCode: 418, headers: { "x-a": "1", "Content-Type": "text/html" }, cookies: ["a=1", "b=2"] });
        stream.write("tea"); await tick(); stream.end();
      },
      nobody: async (stream) => {
        stream = awslambda.HttpResponseStream.from(stream, { statusCode: 204 });
        for (let n = 0; n < 20; n++) if (!stream.write(Buffer.alloc(100_000))) await new Promise((resolve) => stream.once("drain", resolve));
        stream.end(() => log.push("written for nobody"));
      },
      empty: (stream) => stream.end(),
      early: async () => { throw new RangeError("early"); },
      late: async (stream) => { stream.write("half "); await tick(); throw new RangeError("late"); },
      after: async (stream) => { stream.end("all"); await tick(); throw new RangeError("after"); },
      destroyed: async (stream) => { stream.write("half "); await tick(); stream.destroy(new RangeError("destroyed")); },
      forgotten: async (stream) => { stream.write("half "); },
      wrong: (stream) => { awslambda.HttpResponseStream.from(stream, { statusCode: 99 }).end("x"); },
      tooLate: async (stream) => { stream.write("x"); awslambda.HttpResponseStream.from(stream, {}); },
      foreign: async () => { awslambda.HttpResponseStream.from({}, {}); },
      flood: async (stream) => {
        let written = 0;
        stream.on("close", () => log.push("closed"));
        for (let n = 0; n < 50; n++) { written += 20_000; ways.written = (other) => other.end(String(written)); if (!stream.write(Buffer.alloc(20_000, 97))) await new Promise((resolve) => stream.once("drain", resolve)); }
        stream.end();
        log.push("flooded");
      },
    };
    export const handler = awslambda.streamifyResponse(async (event, stream, context) => {
      const way = event.way ?? event.rawPath.slice(1);
      if (context.awsRequestId !== "request") throw new Error("no context");
      await ways[way](stream);
    });`);
});
afterAll(() => runtime[Symbol.asyncDispose]());

const get = (way: string, method = "GET") => runtime.request(method, `/${way}`);

describe("a request to a handler of awslambda.streamifyResponse", () => {
  it.each([
    ["parts", 200, "one two 3", ["content-type: text/plain"]],
    ["pipeline", 200, "abc", ["content-type: application/octet-stream"]],
    ["json", 200, '{"a":1}[2]', ["content-type: application/octet-stream"]],
    ["empty", 200, "", ["content-type: application/octet-stream"]],
    ["head", 418, "tea", ["x-a: 1", "content-type: text/html", "set-cookie: a=1", "set-cookie: b=2"]],
  ])("is answered with what it writes: %s", async (way, status, text, lines) => {
    const result = await get(way);
    expect(result).toMatchObject({ status, streams: true, functionError: "", errorType: "" });
    expect([textOf(result), linesOf(result)]).toEqual([text, lines]);
  });

  it.each([
    ["early", "early"],
    ["wrong", "statusCode 99"],
    ["foreign", "takes the responseStream"],
  ])("fails as a whole before the first byte: %s", async (way, message) => {
    expect(errorOf(await get(way)).errorMessage).toContain(message);
  });

  it.each([
    ["late", "half ", "RangeError", "late"],
    ["after", "all", "RangeError", "after"],
    ["destroyed", "half ", "RangeError", "destroyed"],
    ["tooLate", "x", "Error", "before the first write"],
  ])("breaks off afterwards: %s", async (way, text, type, message) => {
    const result = await get(way);
    expect(result).toMatchObject({ streams: true, functionError: "Unhandled", errorType: type });
    expect([textOf(result), result.errorMessage]).toEqual([text, expect.stringContaining(message)]);
  });

  it("that is not ended times out, and the log says what was forgotten", async () => {
    runtime.sendRequest("GET", "/forgotten", "", {}, { timeoutMs: 200 });
    expect(await runtime.next("invokeResult")).toMatchObject({ errorType: "Sandbox.Timedout" });
    expect(runtime.output).toContain("call responseStream.end()");
  });

  it.each([
    ["nobody", "GET", 204],
    ["parts", "HEAD", 200],
  ])("writes for nobody where an answer has no body: %s by %s", async (way, method, status) => {
    const result = await get(way, method);
    expect([result.status, textOf(result), result.functionError]).toEqual([status, "", ""]);
    if (way === "nobody") expect(textOf(await get("log"))).toBe("written for nobody");
  });

  it("writes as fast as it is read, and goes on when its caller has gone", async () => {
    runtime.reads = false;
    const id = runtime.sendRequest("GET", "/flood");
    await expect.poll(() => runtime.soFar(id)?.text.length).toBe(256 * 1024);
    expect(Number(textOf(await get("written")))).toBeLessThan(512 * 1024);
    runtime.send({ type: "cancelInvoke", id });
    expect(await runtime.next("invokeResult")).toMatchObject({ id, errorType: "AbortError" });
    runtime.reads = true;
    expect(
      textOf(await get("log"))
        .split(",")
        .sort(),
    ).toEqual(["closed", "flooded"]);
  });
});

describe("an event to a handler of awslambda.streamifyResponse", () => {
  it("is answered with what it writes, status and headers before it", async () => {
    expect(textOf(await runtime.invoke({ way: "parts" }))).toBe("one two 3");
    const result = await runtime.invoke({ way: "head" });
    expect(linesOf(result)).toEqual(["content-type: application/vnd.awslambda.http-integration-response"]);
    const [prelude = "", body] = textOf(result).split("\0".repeat(8));
    expect([JSON.parse(prelude).statusCode, body]).toEqual([418, "tea"]);
    expect(errorOf(await runtime.invoke({ way: "early" })).errorMessage).toBe("early");
  });
});

it("a handler that carries AWS Lambda's mark streams without the global", async () => {
  await using own = await RuntimeProcess.load(
    "export const handler = Object.assign(async (event, stream) => stream.end('own'), { [Symbol.for('aws.lambda.runtime.handler.streaming')]: 'response' })",
  );
  expect(textOf(await own.request("GET", "/"))).toBe("own");
});
