import { setTimeout } from "node:timers/promises";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { call, deployModule, invoke, remove } from "./api.ts";
import { deployHello } from "./examples.ts";

beforeAll(async () => {
  await deployHello();
});
// Whatever one function does, the others go on.
afterEach(async () => {
  const { status, json } = await invoke("hello");
  expect({ status, json }).toEqual({ status: 200, json: { greeting: "Hello, world!" } });
  await remove("bad");
});

describe("a deploy fails with the function's own reason", () => {
  it("when it throws at import", async () => {
    const { status, json } = await deployModule("bad", "throw new Error('no database');");
    expect({ status, json }).toMatchObject({
      status: 422,
      json: { Type: "FunctionDeployException", code: "FIRN_FUNCTION_IMPORT" },
    });
    expect(json).toMatchObject({
      Message: expect.stringContaining("no database"),
      Stack: expect.stringContaining("index.js:1"),
    });
    expect((await invoke("bad")).json).toMatchObject({ code: "FIRN_FUNCTION_FAILED" });
    expect((await call("/functions/bad")).json).toMatchObject({ state: "Failed", snapshot: null });
  });

  it("when it has a syntax error, or no such export", async () => {
    const broken = await deployModule("bad", "export default (");
    expect({ status: broken.status, json: broken.json }).toMatchObject({
      status: 422,
      json: { code: expect.stringMatching(/^FIRN_FUNCTION_/) },
    });
    const missing = await deployModule("bad", "export const other = 1;");
    expect(missing.status).toBe(422);
  });

  it("when it never gets ready", async () => {
    const source = "setInterval(() => {}, 1000); await new Promise(() => {});";
    const { status, json } = await deployModule("bad", source, { readyTimeoutMs: 10_000 });
    expect({ status, json }).toMatchObject({ status: 422, json: { code: "FIRN_FUNCTION_NOT_READY" } });
  });

  it("when its process ends", async () => {
    const { status, json } = await deployModule("bad", "process.exit(3);");
    expect({ status, json }).toMatchObject({ status: 422, json: { code: "FIRN_FUNCTION_EXITED" } });
  });

  it("and leaves the version before active", async () => {
    expect((await deployModule("bad", "export default async () => ({ version: 1 });")).status).toBe(201);
    expect((await deployModule("bad", "throw new Error('version 2');")).status).toBe(422);
    expect((await invoke("bad")).json).toEqual({ version: 1 });
    expect((await call("/functions/bad")).json).toMatchObject({
      state: "Active",
      failure: { code: "FIRN_FUNCTION_IMPORT" },
    });
  });
});

describe("an invocation fails alone", () => {
  it("when the handler throws: an event gets 200 and the error, HTTP gets 502", async () => {
    await deployModule("bad", "export default async function f() { throw new TypeError('bad input'); }");
    const event = await invoke("bad");
    expect(event.status).toBe(200);
    expect(event.headers.get("x-amz-function-error")).toBe("Unhandled");
    expect(event.json).toMatchObject({
      errorType: "TypeError",
      errorMessage: expect.stringContaining("bad input"),
    });
    const http = await call("/functions/bad/http/");
    expect({ status: http.status, json: http.json }).toMatchObject({
      status: 502,
      json: { code: "FIRN_FUNCTION_ERROR", Message: expect.stringContaining("bad input") },
    });
  });

  it("when its process ends after the answer, while it waits or during it: the next one is answered", async () => {
    const source = `export default async ({ when }) => {
      const end = (milliseconds) => setTimeout(() => { throw new Error("nobody catches this"); }, milliseconds);
      if (when === "exit") setTimeout(() => process.exit(0), 100);
      if (when === "after") end(100);
      if (when === "during") { end(10); await new Promise(() => {}); }
      return "fine";
    };`;
    await deployModule("bad", source);
    for (const when of ["exit", "after", "during"]) {
      const first = await invoke("bad", { when });
      expect(first.status).toBe(200);
      if (when === "during") expect(first.json).toMatchObject({ errorMessage: "nobody catches this" });
      else expect(first.json).toBe("fine");
      // Long after the end of the process: whoever comes now has nothing to do with it.
      await setTimeout(5_000);
      for (const _ of [1, 2]) expect(await invoke("bad", {})).toMatchObject({ status: 200, json: "fine" });
    }
  });

  it("when it is late, awaiting or spinning: the next one is answered", async () => {
    const source = `export default async ({ kind }) => {
      if (kind === "await") await new Promise((resolve) => setTimeout(resolve, 600_000));
      if (kind === "spin") for (;;);
      return "fine";
    };`;
    await deployModule("bad", source, { timeoutMs: 5_000 });
    for (const kind of ["await", "spin"]) {
      const late = await invoke("bad", { kind });
      expect(late.status).toBe(200);
      expect(late.headers.get("x-amz-function-error")).toBe("Unhandled");
      expect(late.json).toMatchObject({ errorMessage: expect.stringMatching(/timed out/i) });
      expect((await invoke("bad", {})).json).toBe("fine");
    }
  });

  it("when its process ends, or eats all memory", async () => {
    const source = `const kept = [];
      export default async ({ kind }) => {
        if (kind === "exit") process.exit(7);
        while (kind === "eat") kept.push(Buffer.alloc(1 << 20, kept.length));
        return "fine";
      };`;
    await deployModule("bad", source);
    for (const kind of ["exit", "eat"]) {
      const ended = await invoke("bad", { kind });
      const failed = ended.headers.get("x-amz-function-error") !== null || ended.status === 502;
      expect({ failed, json: ended.json }).toMatchObject({ failed: true });
      expect((await invoke("bad", {})).json).toBe("fine");
    }
  });

  it("when its answer is too large", async () => {
    await deployModule("bad", "export default async ({ mib }) => 'x'.repeat(mib * 1048576);");
    const large = await invoke("bad", { mib: 7 });
    expect(large.status).toBe(200);
    expect(large.json).toMatchObject({ errorType: "Function.ResponseSizeTooLarge" });
    expect((await invoke("bad", { mib: 1 })).body.length).toBe(1_048_578);
  });
});

describe("a request is refused", () => {
  it("when its payload is over 6 MiB, or its function unknown", async () => {
    const large = await invoke("hello", "x".repeat(6 * 1024 * 1024));
    expect({ status: large.status, json: large.json }).toMatchObject({
      status: 413,
      json: { Type: "RequestTooLargeException" },
    });
    const unknown = await invoke("nobody");
    expect({ status: unknown.status, json: unknown.json }).toMatchObject({
      status: 404,
      json: { Type: "ResourceNotFoundException" },
    });
  });
});
