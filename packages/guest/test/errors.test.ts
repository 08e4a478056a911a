import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { errorOf, RuntimeProcess, textOf } from "./runtime-process.ts";

describe("whatever a handler throws", () => {
  let runtime: RuntimeProcess;
  beforeAll(async () => {
    runtime = await RuntimeProcess.load(`
      import vm from "node:vm";
      globalThis.vm = vm;
      export const handler = async ({ expression }) => {
        if (expression === undefined) return "fine";
        throw eval("(" + expression + ")");
      }`);
  });
  afterAll(() => runtime[Symbol.asyncDispose]());

  it.each([
    ["new (vm.runInNewContext('RangeError'))('of another realm')", "RangeError", "of another realm"],
    ["vm.runInNewContext('null.property')", "TypeError", expect.stringContaining("null")],
    ["Object.assign(new Error('m'), { name: 'MyError' })", "MyError", "m"],
    ["new (class ApiError extends Error {})('m')", "Error", "m"],
    ["Object.assign(Object.create(Error.prototype), { message: 'no real one' })", "Error", "no real one"],
    ["{ message: 'like one', stack: 'at home', name: 'Likeness' }", "Likeness", "like one"],
    ["new DOMException('gone', 'AbortError')", "AbortError", "gone"],
    ["'text'", "string", "text"],
    ["undefined", "undefined", "undefined"],
    ["null", "object", "null"],
    ["42n", "bigint", "42"],
    ["Symbol('s')", "symbol", "Symbol(s)"],
    ["{ a: 1 }", "object", '{"a":1}'],
    ["(() => { const a = {}; a.a = a; return a })()", "object", expect.stringContaining("Circular")],
    ["(() => { const e = new Error('round'); e.cause = e; return e })()", "Error", "round"],
    ["Object.defineProperty(new Error('m'), 'stack', { get() { throw 1 } })", "Error", "m"],
    ["Object.defineProperty(new Error(), 'message', { get() { throw 1 } })", "Error", ""],
    ["Object.defineProperty(new Error('m'), 'name', { get() { throw 1 } })", "Error", "m"],
    [
      "new Proxy(new Error('m'), { get() { throw 1 }, getPrototypeOf() { throw 1 } })",
      "object",
      expect.any(String),
    ],
    [
      "Object.assign(new Error('m'), { name: { toString() { throw 1 } }, stack: 5 })",
      expect.any(String),
      "m",
    ],
    ["Object.assign(Object.create(null), { toString: 1 })", "object", expect.any(String)],
  ])("is its error, and the next event is answered: %s", async (expression, errorType, errorMessage) => {
    const error = errorOf(await runtime.invoke({ expression }));
    expect(error).toMatchObject({ errorType, errorMessage });
    expect(Array.isArray(error.trace)).toBe(true);
    expect(await runtime.call({})).toBe("fine");
  });

  it("is told with its causes, and cut when it is too long", async () => {
    await using runtime = await RuntimeProcess.load(`
      export const handler = async ({ long }) => {
        if (long) throw new Error("x".repeat(20_000_000));
        const parts = new AggregateError([new RangeError("one"), "two"], "several");
        throw new Error("outside", { cause: new TypeError("inside", { cause: parts }) });
      }`);
    const { trace } = errorOf(await runtime.invoke({}));
    const heads = trace.filter((line) => !line.startsWith("    at "));
    expect(heads).toEqual([
      "Error: outside",
      "Caused by: TypeError: inside",
      "Caused by: AggregateError: several",
      "One of its errors: RangeError: one",
      "One of its errors: two",
    ]);
    const long = errorOf(await runtime.invoke({ long: true }));
    expect(long.errorMessage.length).toBeLessThan(40_000);
    expect(long.errorMessage).toContain("more)");
  });

  it("is in the log, and shows nothing of the runtime", async () => {
    await using runtime = await RuntimeProcess.load(
      "export const handler = async () => { await 1; throw new RangeError('too far') }",
    );
    const { trace } = errorOf(await runtime.invoke({}));
    expect(trace.join("\n")).toContain("index.js:1:");
    expect(runtime.output).toContain("Request request failed: RangeError: too far");
    for (const text of [trace.join("\n"), runtime.output]) expect(text).not.toContain("src/runtime");
  });
});

describe("an error that nobody catches", () => {
  const lateHandlers = `
    const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const later = (work) => setTimeout(work, 50);
    let release;
    export const handler = async ({ how }, context) => {
      switch (how) {
        case "reject later": later(() => Promise.reject(new Error("of the earlier request"))); return "answered";
        case "throw later": later(() => { throw new Error("of the earlier request") }); return "answered";
        case "reject": Promise.reject(new Error("its own")); return new Promise(() => {});
        case "reject at import": later(() => globalThis.reject()); return new Promise(() => {});
        case "throw": later(() => { throw new Error("its own") }); return new Promise(() => {});
        case "wait": await sleep(500); return "waited";
        default: return "fine";
      }
    };`;

  it("is its own request's, and not that of one that runs beside it", async () => {
    await using runtime = await RuntimeProcess.load(lateHandlers);
    runtime.sendEvent({ how: "wait" });
    expect(errorOf(await runtime.invoke({ how: "reject" }))).toMatchObject({
      errorType: "Runtime.UnhandledPromiseRejection",
      errorMessage: "Error: its own",
      trace: expect.arrayContaining([expect.stringContaining("index.js")]),
    });
    expect(textOf(await runtime.next("invokeResult"))).toBe('"waited"');
    expect(await runtime.call()).toBe("fine");
  });

  it("is no later request's when it is a rejection of an earlier one", async () => {
    await using runtime = await RuntimeProcess.load(lateHandlers);
    expect(await runtime.call({ how: "reject later" })).toBe("answered");
    expect(await runtime.call({ how: "wait" })).toBe("waited");
    expect(runtime.output).toContain("of request request, which had ended: Error: of the earlier request");
    expect(await runtime.call()).toBe("fine");
  });

  it("ends the process when it is an exception, but not before the others have their answers", async () => {
    await using runtime = await RuntimeProcess.load(lateHandlers);
    expect(await runtime.call({ how: "throw later" })).toBe("answered");
    expect(await runtime.call({ how: "wait" })).toBe("waited");
    expect(await runtime.exit()).toBe(1);
    expect(runtime.output).toContain("of request request, which had ended: Error: of the earlier request");
  });

  it("fails the request in which it was thrown, and not the one beside it, before the process ends", async () => {
    await using runtime = await RuntimeProcess.load(lateHandlers);
    runtime.sendEvent({ how: "wait" });
    expect(errorOf(await runtime.invoke({ how: "throw" }))).toMatchObject({
      errorType: "Error",
      errorMessage: "its own",
    });
    expect(textOf(await runtime.next("invokeResult"))).toBe('"waited"');
    expect(await runtime.exit()).toBe(1);
  });

  it("fails no request when it belongs to the module, and one that times out is told of it in the log", async () => {
    await using runtime = await RuntimeProcess.load(`
      let reject;
      const promise = new Promise((_, no) => { reject = no });
      setInterval(() => { if (globalThis.now) { globalThis.now = false; Promise.reject(new Error("of the module")) } }, 5);
      export const handler = async ({ hang }) => {
        globalThis.now = true;
        await new Promise((resolve) => setTimeout(resolve, 100));
        if (hang) await new Promise(() => {});
        return "fine";
      };`);
    expect(await runtime.call()).toBe("fine");
    expect(errorOf(await runtime.invoke({ hang: true }, 300))).toMatchObject({
      errorType: "Sandbox.Timedout",
      errorMessage: "RequestId: request Error: Task timed out after 0.30 seconds",
    });
    expect(runtime.output).toContain("Error: of the module");
    expect(runtime.output).toContain("perhaps it waited for what failed");
  });

  it("ends an idle process at once", async () => {
    await using runtime = await RuntimeProcess.load(
      "export const handler = async () => { setTimeout(() => { throw new Error('afterwards') }, 20); return 1 }",
    );
    expect(await runtime.call()).toBe(1);
    expect(await runtime.exit()).toBe(1);
    expect(runtime.output).toContain("afterwards");
  });
});
