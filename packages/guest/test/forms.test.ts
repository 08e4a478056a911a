import { describe, expect, it } from "vitest";
import { RuntimeProcess, textOf } from "./runtime-process.ts";

describe("waitUntil()", () => {
  it("lets the answer leave, and keeps the invocation until its promises have settled", async () => {
    await using runtime = await RuntimeProcess.load(`
      let go;
      const log = [];
      export default { async fetch(request, env, ctx) {
        const { pathname } = new URL(request.url);
        if (pathname === "/go") { go(); return new Response("gone"); }
        if (pathname === "/log") return new Response(log.join());
        ctx.passThroughOnException();
        ctx.waitUntil((async () => {
          await new Promise((resolve) => { go = resolve; });
          log.push("first");
          ctx.waitUntil(Promise.resolve().then(() => log.push("second")));
          if (pathname === "/fails") throw new RangeError("left over");
        })());
        return new Response("answered");
      } }`);
    for (const path of ["/", "/fails"]) {
      const id = runtime.sendRequest("GET", path);
      await expect.poll(() => runtime.soFar(id)).toEqual({ text: "answered", complete: true });
      runtime.sendRequest("GET", "/go");
      const results = [await runtime.next("invokeResult"), await runtime.next("invokeResult")];
      expect(results.find((one) => one.id === id)).toMatchObject({ streams: false, functionError: "" });
    }
    expect(textOf(await runtime.request("GET", "/log"))).toBe("first,second,first,second");
    expect(runtime.output).toContain("left to waitUntil() failed: RangeError: left over");
  });

  it("lasts until the timeout, and no longer", async () => {
    await using runtime = await RuntimeProcess.load(
      "export default { fetch(request, env, ctx) { ctx.waitUntil(new Promise(() => {})); return new Response('answered') } }",
    );
    runtime.sendRequest("GET", "/", "", {}, { timeoutMs: 200 });
    const result = await runtime.next("invokeResult");
    expect([textOf(result), result.errorType]).toEqual(["answered", "Sandbox.Timedout"]);
  });
});

it("a handler of Workers gets the environment", async () => {
  await using runtime = await RuntimeProcess.load(
    "export default { fetch: (request, env) => new Response(env.GREETING) }",
    { environment: { GREETING: "hi" } },
  );
  expect(textOf(await runtime.request("GET", "/"))).toBe("hi");
});

it("an app like Hono's is called as its object, with environment and context", async () => {
  await using runtime = await RuntimeProcess.load(
    `class App {
       #greeting = "hi";
       fetch = (request, Env, executionCtx) => { executionCtx.waitUntil(Promise.resolve()); return new Response(this.#greeting + Env.NAME) };
     }
     export default new App();`,
    { environment: { NAME: "Ada" } },
  );
  expect(textOf(await runtime.request("GET", "/"))).toBe("hiAda");
});

it("TypeScript runs as it is", async () => {
  await using runtime = await RuntimeProcess.start({
    "index.ts": `import { greet, type Name } from "./greet.ts";
      const name: Name = "Ada";
      export default { fetch: (request: Request): Response => new Response(greet(name) + new URL(request.url).pathname) };`,
    "greet.ts": `export type Name = string; export const greet = (name: Name): string => "hi " + name;`,
    "package.json": '{"type":"module"}',
  });
  runtime.loadFunction({ entry: "index.ts" });
  await runtime.next("functionReady");
  expect(textOf(await runtime.request("GET", "/a"))).toBe("hi Ada/a");
});

it.each(["Deno.serve", "Bun.serve"])("%s is refused by name, and told what to do", async (serve) => {
  await using runtime = await RuntimeProcess.start({
    "index.mjs": `${serve}(() => new Response("hi"))`,
  });
  runtime.loadFunction({ entry: "index.mjs" });
  const { code, message } = await runtime.next("functionFailed");
  expect(code).toBe("FIRN_FUNCTION_IMPORT");
  expect(message).toContain(`in place of ${serve}(handler), export default { fetch: handler }`);
});

it("Hono streams, waits, and is told that its caller has gone", async () => {
  await using runtime = await RuntimeProcess.load(
    `import { Hono } from ${JSON.stringify(import.meta.resolve("hono"))};
     import { stream, streamSSE, streamText } from ${JSON.stringify(import.meta.resolve("hono/streaming"))};
     const log = [];
     let go;
     const app = new Hono();
     app.get("/name", (c) => c.text(c.env.NAME));
     app.get("/log", (c) => c.text(log.join()));
     app.get("/go", (c) => { go(); return c.text("gone"); });
     app.get("/text", (c) => streamText(c, async (s) => { await s.write("one "); await s.sleep(5); await s.write("two"); }));
     app.get("/events", (c) => streamSSE(c, async (s) => {
       s.onAbort(() => log.push("aborted"));
       await s.writeSSE({ data: "first", id: "1" });
       await new Promise((resolve) => { go = resolve; });
       await s.writeSSE({ data: "second", id: "2" });
     }));
     app.post("/upper", (c) => stream(c, async (s) => {
       for await (const piece of c.req.raw.body) await s.write(Buffer.from(piece).toString().toUpperCase());
     }));
     app.get("/later", (c) => { c.executionCtx.waitUntil(Promise.resolve().then(() => log.push("later"))); return c.text("now"); });
     export default app;`,
    { environment: { NAME: "Ada" } },
  );
  const get = async (path: string) => textOf(await runtime.request("GET", path));
  expect([await get("/name"), await get("/text"), await get("/later")]).toEqual(["Ada", "one two", "now"]);

  const events = runtime.sendRequest("GET", "/events");
  await expect.poll(() => runtime.soFar(events)?.text).toBe("data: first\nid: 1\n\n");
  runtime.sendRequest("GET", "/go");
  const results = [await runtime.next("invokeResult"), await runtime.next("invokeResult")];
  expect(results.map(textOf)).toContain("data: first\nid: 1\n\ndata: second\nid: 2\n\n");

  const upper = runtime.sendRequest("POST", "/upper", "", {}, { more: true });
  runtime.sendPiece(upper, "first ");
  await expect.poll(() => runtime.soFar(upper)?.text).toBe("FIRST ");
  runtime.sendPiece(upper, "last", true);
  expect(textOf(await runtime.next("invokeResult"))).toBe("FIRST LAST");

  const left = runtime.sendRequest("GET", "/events");
  await expect.poll(() => runtime.soFar(left)?.text).toContain("first");
  runtime.send({ type: "cancelInvoke", id: left });
  expect(await runtime.next("invokeResult")).toMatchObject({ id: left, errorType: "AbortError" });
  expect(await get("/log")).toBe("later,aborted");
});
