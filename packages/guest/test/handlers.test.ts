import { describe, expect, it } from "vitest";
import { RuntimeProcess, textOf } from "./runtime-process.ts";

describe("an event reaches", () => {
  it("a default export that is a function", async () => {
    await using runtime = await RuntimeProcess.load(
      `export default async (event, context) => ({ got: event, name: context.functionName,
         id: context.awsRequestId, left: context.getRemainingTimeInMillis() > 9000, environment: process.env.GREETING })`,
      { environment: { GREETING: "hi" } },
    );
    expect(await runtime.call({ a: [1] })).toEqual({
      got: { a: [1] },
      name: "example",
      id: "request",
      left: true,
      environment: "hi",
    });
  });

  it("an export called handler", async () => {
    await using runtime = await RuntimeProcess.load("export function handler(event) { return event.n * 2 }");
    expect(await runtime.call({ n: 21 })).toBe(42);
  });

  it("the export that LoadFunction names", async () => {
    await using runtime = await RuntimeProcess.load(
      "export default () => 'default'; export const special = () => 'special'",
      { handler: "special" },
    );
    expect(await runtime.call()).toBe("special");
  });

  it("a handler of a CommonJS module", async () => {
    await using runtime = await RuntimeProcess.start({
      "index.cjs": "exports.handler = async () => __filename",
    });
    runtime.loadFunction({ entry: "index.cjs" });
    await runtime.next("functionReady");
    expect(await runtime.call()).toBe(`${runtime.root}/index.cjs`);
  });

  it("a fetch handler, as the JSON body of a POST", async () => {
    await using runtime = await RuntimeProcess.load(
      "export default { async fetch(request) { return Response.json({ method: request.method, ...await request.json() }) } }",
    );
    expect(await runtime.call({ a: 1 })).toEqual({ method: "POST", a: 1 });
  });

  it("a handler that returns nothing, which answers null", async () => {
    await using runtime = await RuntimeProcess.load("export default () => undefined");
    expect(await runtime.call()).toBeNull();
  });
});

describe("a request reaches", () => {
  it("a default export with a fetch method, called as a method", async () => {
    await using runtime = await RuntimeProcess.load(`
      class App {
        routes = { "/a": "route a" };
        async fetch(request) {
          const url = new URL(request.url);
          const headers = new Headers({ "x-echo": request.headers.get("x-test") ?? "" });
          headers.append("set-cookie", "a=1"); headers.append("set-cookie", "b=2");
          const body = (this.routes[url.pathname] ?? "none") + url.search + await request.text();
          return new Response(body, { status: 201, headers });
        }
      }
      export default new App()`);
    const result = await runtime.request("POST", "http://example.com/a?x=1", " body", { "x-test": "yes" });
    expect(result.status).toBe(201);
    expect(result.functionError).toBe("");
    expect(textOf(result)).toBe("route a?x=1 body");
    const pairs = result.headers.map(({ name, value }) => `${name}: ${value}`);
    expect(pairs).toEqual(expect.arrayContaining(["x-echo: yes", "set-cookie: a=1", "set-cookie: b=2"]));
  });

  it("a handler of events, as a function URL event", async () => {
    await using runtime = await RuntimeProcess.load(`export const handler = (event) => ({
      statusCode: 418, headers: { "X-Path": event.rawPath }, cookies: ["a=1"],
      body: [event.requestContext.http.method, event.queryStringParameters.q, event.body].join() })`);
    const result = await runtime.request("PUT", "/tea?q=1", "text", { "content-type": "text/plain" });
    expect([result.status, textOf(result)]).toEqual([418, "PUT,1,text"]);
    expect(result.headers).toEqual([
      { name: "x-path", value: "/tea" },
      { name: "set-cookie", value: "a=1" },
      { name: "content-type", value: "application/json" },
    ]);
  });

  it("a fetch handler, whose binary body arrives as it is", async () => {
    await using runtime = await RuntimeProcess.load(
      "export default { fetch: () => new Response(Uint8Array.from({ length: 256 }, (_, i) => i)) }",
    );
    const result = await runtime.request("GET", "/");
    expect([...result.payload]).toEqual(Array.from({ length: 256 }, (_, index) => index));
  });
});

describe("a handler that fails", () => {
  it("answers Unhandled with type, message and trace when it throws, and answers the next event", async () => {
    await using runtime = await RuntimeProcess.load(
      "export default (event) => { if (event.fail) throw new RangeError('too far'); return 'fine' }",
    );
    const result = await runtime.invoke({ fail: true });
    expect(result.functionError).toBe("Unhandled");
    const body = JSON.parse(textOf(result));
    expect(body).toMatchObject({ errorType: "RangeError", errorMessage: "too far" });
    expect(body.trace.join("\n")).toContain("index.js:1:");
    expect(await runtime.call()).toBe("fine");
  });

  it("answers Unhandled when it throws what is no error", async () => {
    await using runtime = await RuntimeProcess.load("export default () => { throw { code: 7 } }");
    expect(JSON.parse(textOf(await runtime.invoke({})))).toEqual({
      errorType: "object",
      errorMessage: '{"code":7}',
      trace: [],
    });
  });

  it("answers Unhandled when its result cannot be sent as JSON", async () => {
    await using runtime = await RuntimeProcess.load("export default () => 1n");
    expect((await runtime.invoke({})).functionError).toBe("Unhandled");
  });

  it("answers Unhandled when a fetch handler returns no Response", async () => {
    await using runtime = await RuntimeProcess.load("export default { fetch: () => 'text' }");
    const result = await runtime.request("GET", "/");
    expect([result.functionError, result.status]).toEqual(["Unhandled", 500]);
    expect(textOf(result)).toContain("returned no Response");
  });

  it("answers Unhandled when it takes too long, aborts its signal, and answers the next event", async () => {
    await using runtime = await RuntimeProcess.load(`
      let reason = "none";
      export default (event, { signal }) => {
        if (!event.hang) return reason;
        signal.onabort = () => { reason = signal.reason.message };
        return new Promise(() => {});
      }`);
    const result = await runtime.invoke({ hang: true }, 100);
    expect(result.functionError).toBe("Unhandled");
    const message = "RequestId: request Error: Task timed out after 0.10 seconds";
    expect(JSON.parse(textOf(result))).toMatchObject({
      errorType: "Sandbox.Timedout",
      errorMessage: message,
    });
    expect(await runtime.call()).toBe(message);
  });

  it("answers Unhandled when a promise is rejected that nobody waits for, and answers the next event", async () => {
    await using runtime = await RuntimeProcess.load(`export default (event) => {
      if (!event.fail) return "fine";
      Promise.reject(new Error("forgotten"));
      return new Promise(() => {});
    }`);
    const result = await runtime.invoke({ fail: true });
    expect(JSON.parse(textOf(result))).toMatchObject({
      errorType: "Runtime.UnhandledPromiseRejection",
      errorMessage: "Error: forgotten",
    });
    expect(await runtime.call()).toBe("fine");
  });

  it("answers Unhandled when a callback throws, and ends the process", async () => {
    await using runtime = await RuntimeProcess.load(
      "export default () => { setTimeout(() => { throw new Error('late') }); return new Promise(() => {}) }",
    );
    expect(JSON.parse(textOf(await runtime.invoke({})))).toMatchObject({ errorMessage: "late" });
    expect(await runtime.exit()).toBe(1);
  });

  it("answers with more than fits into a frame, and takes it too", async () => {
    await using runtime = await RuntimeProcess.load("export default ({ text }) => text + text");
    const text = "0123456789abcdef".repeat(600 * 1024);
    const result = await runtime.invoke({ text });
    expect(result.functionError).toBe("");
    expect(textOf(result) === JSON.stringify(text + text)).toBe(true);
    expect(await runtime.call({ text: "x" })).toBe("xx");
  });

  it("has its signal aborted when the invocation is cancelled", async () => {
    await using runtime = await RuntimeProcess.load(`export default (event, { signal }) =>
      new Promise((resolve) => signal.addEventListener("abort", () => resolve(signal.reason.name)))`);
    const result = runtime.invoke({});
    runtime.send({ type: "cancelInvoke", id: 1 });
    expect(textOf(await result)).toBe('"AbortError"');
  });

  it("mixes nothing up when many invocations run at once", async () => {
    await using runtime = await RuntimeProcess.load(
      "export default async ({ n }) => { await new Promise((r) => setTimeout(r, (n * 7) % 20)); return n }",
    );
    const payload = (n: number) => new TextEncoder().encode(JSON.stringify({ n }));
    for (let n = 1; n <= 20; n++) {
      runtime.send({
        type: "invoke",
        id: 1000 + n,
        requestId: "r",
        timeoutMs: 5000,
        kind: "event",
        payload: payload(n),
      });
    }
    for (let n = 1; n <= 20; n++) {
      const result = await runtime.next("invokeResult");
      expect(textOf(result)).toBe(String(result.id - 1000));
    }
  });
});
