import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { errorOf, RuntimeProcess, textOf } from "./runtime-process.ts";

const cases = `
  const later = (work, ms = 30) => setTimeout(work, ms);
  export const log = [];
  const handlers = {
    later: (event, context, callback) => { later(() => callback(null, "by callback")) },
    implicit: (event, context, callback) => later(() => callback(null, "by callback")),
    atOnce: (event, context, callback) => callback(null, { a: 1 }),
    error: (event, context, callback) => { later(() => callback(new RangeError("too far"))) },
    text: (event, context, callback) => callback("only text"),
    twice: (event, context, callback) => { callback(null, 1); callback(null, 2); callback(new Error("no")) },
    throws: (event, context, callback) => { throw new RangeError("at once") },
    never: (event, context, callback) => {},
    rest: (...all) => { later(() => all[2](null, "rest")) },
    promise: async (event, context, callback) => "promise",
    both: async (event, context, callback) => { callback(null, "callback"); return "promise" },
    succeed: (event, context) => { later(() => context.succeed("succeeded")) },
    done: (event, context) => { later(() => context.done(null, "done")) },
    fail: (event, context) => { later(() => context.fail(new RangeError("failed"))) },
    waits: (event, context, callback) => { later(() => log.push("left over"), 120); callback(null, log) },
    hurries: (event, context, callback) => {
      context.callbackWaitsForEmptyEventLoop = false;
      later(() => log.push("too late"), 120);
      callback(null, log.length);
    },
    nothing: (event) => { later(() => log.push("done")) },
    length: () => log.length,
  };
  export const handler = (event, context, callback) => handlers[event.call](event, context, callback);
  export const cases = handlers;`;

// One process for all of them, which loads one after the other.
let shared: RuntimeProcess;
beforeAll(async () => {
  shared = await RuntimeProcess.load(cases);
});
afterAll(() => shared[Symbol.asyncDispose]());

async function call(name: string): Promise<unknown> {
  shared.loadFunction({ handler: `cases.${name}` });
  await shared.next("functionReady");
  const result = await shared.invoke({});
  return result.functionError === "" ? JSON.parse(textOf(result)) : errorOf(result);
}

describe("a handler of events answers", () => {
  it.each([
    ["later", "by callback"],
    ["implicit", "by callback"],
    ["atOnce", { a: 1 }],
    ["twice", 1],
    ["never", null],
    ["rest", "rest"],
    ["promise", "promise"],
    ["both", "callback"],
    ["succeed", "succeeded"],
    ["done", "done"],
    ["waits", ["left over"]],
  ])("by callback, by promise, or by its context: %s", async (name, expected) => {
    expect(await call(name)).toEqual(expected);
  });

  it.each([
    ["error", { errorType: "RangeError", errorMessage: "too far" }],
    ["text", { errorType: "string", errorMessage: "only text" }],
    ["throws", { errorType: "RangeError", errorMessage: "at once" }],
    ["fail", { errorType: "RangeError", errorMessage: "failed" }],
  ])("with an error in the same ways: %s", async (name, expected) => {
    expect(await call(name)).toMatchObject(expected);
  });
});

describe("an answer by callback", () => {
  it("waits for what is left to happen, and the process serves on", async () => {
    await using runtime = await RuntimeProcess.load(cases);
    expect(await runtime.call({ call: "waits" })).toEqual(["left over"]);
    expect(await runtime.call({ call: "nothing" })).toBeNull();
    expect(await runtime.call({ call: "waits" })).toEqual(["left over", "done", "left over"]);
  });

  it("does not wait if the context says so", async () => {
    await using runtime = await RuntimeProcess.load(cases);
    expect(await runtime.call({ call: "hurries" })).toBe(0);
  });

  it("comes at the deadline when something goes on for ever, and that is said", async () => {
    await using runtime = await RuntimeProcess.load(
      "setInterval(() => {}, 10); export const handler = (event, context, callback) => { callback(null, 'late') }",
    );
    expect(textOf(await runtime.invoke({}, 200))).toBe('"late"');
    expect(runtime.output).toContain("callbackWaitsForEmptyEventLoop");
  });

  it("that never comes is a timeout when something goes on for ever", async () => {
    await using runtime = await RuntimeProcess.load(
      "setInterval(() => {}, 10); export const handler = (event, context, callback) => {}",
    );
    expect(errorOf(await runtime.invoke({}, 200)).errorType).toBe("Sandbox.Timedout");
  });

  it("that comes when there is an answer has no effect, and that is said", async () => {
    await using runtime = await RuntimeProcess.load(
      "export const handler = async (event, context, callback) => { setTimeout(() => callback(null, 'late'), 20); return 'first' }",
    );
    expect(await runtime.call()).toBe("first");
    await expect.poll(() => runtime.output).toContain("has no effect");
    expect(await runtime.call()).toBe("first");
  });

  it("works for several invocations at once", async () => {
    await using runtime = await RuntimeProcess.load(
      "export const handler = ({ n }, context, callback) => { setTimeout(() => callback(null, n), n % 7) }",
    );
    for (let n = 1; n <= 20; n++) runtime.sendEvent({ n });
    for (let n = 1; n <= 20; n++) {
      const result = await runtime.next("invokeResult");
      expect(textOf(result)).toBe(String(result.id));
    }
  });
});
