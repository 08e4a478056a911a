import { describe, expect, it } from "vitest";
import { errorOf, linesOf, RuntimeProcess, textOf } from "./runtime-process.ts";

/** The first credit of an answer. */
const WINDOW = 256 * 1024;
/** What a stream may hold between the function and the bridge. */
const SLACK = 256 * 1024;

describe("a Response whose body is a stream", () => {
  it("leaves piece by piece, each when it was written", async () => {
    await using runtime = await RuntimeProcess.load(`
      let go;
      export default { async fetch(request) {
        if (request.url.endsWith("/go")) { go(); return new Response("gone"); }
        const body = new ReadableStream({ async start(c) {
          c.enqueue(Buffer.from("first "));
          await new Promise((resolve) => { go = resolve; });
          c.enqueue(Buffer.from("second"));
          c.close();
        } });
        return new Response(body, { status: 201, headers: { "content-type": "text/event-stream" } });
      } }`);
    const id = runtime.sendRequest("GET", "/");
    await expect.poll(() => runtime.soFar(id)?.text).toBe("first ");
    runtime.sendRequest("GET", "/go");
    const results = [await runtime.next("invokeResult"), await runtime.next("invokeResult")];
    const result = results.find((one) => one.id === id) as (typeof results)[0];
    expect(result).toMatchObject({ id, status: 201, streams: true, functionError: "", errorType: "" });
    expect(textOf(result)).toBe("first second");
  });

  it("is whole if all of it is there, and its head leaves at once if nothing is", async () => {
    await using runtime = await RuntimeProcess.load(`
      let go;
      export default { async fetch(request) {
        const { pathname } = new URL(request.url);
        if (pathname === "/text") return new Response("text");
        if (pathname === "/large") return new Response("x".repeat(1_000_000));
        if (pathname === "/filled") return new Response(new ReadableStream({ start(c) { c.enqueue(Buffer.from("filled")); c.close() } }));
        if (pathname === "/go") { go(); return new Response("gone"); }
        return new Response(new ReadableStream({ async pull(c) { await new Promise((resolve) => { go = resolve; }); c.close(); } }));
      } }`);
    for (const path of ["/text", "/large", "/filled"]) {
      expect(await runtime.request("GET", path)).toMatchObject({ status: 200, streams: false });
    }
    const id = runtime.sendRequest("GET", "/empty");
    await expect.poll(() => runtime.soFar(id)).toMatchObject({ text: "" });
    runtime.sendRequest("GET", "/go");
    const results = [await runtime.next("invokeResult"), await runtime.next("invokeResult")];
    const empty = results.find((result) => result.id === id);
    expect(empty).toMatchObject({ streams: true, functionError: "", payload: Buffer.of() });
  });

  it("is written as fast as it is read, and no faster", async () => {
    await using runtime = await RuntimeProcess.load(`
      let written = 0;
      export default { async fetch(request) {
        if (request.url.endsWith("/written")) return new Response(String(written));
        return new Response(new ReadableStream({ pull(c) {
          c.enqueue(Buffer.alloc(10_000, 97));
          written += 10_000;
          if (written >= 5_000_000) c.close();
        } }));
      } }`);
    runtime.reads = false;
    const id = runtime.sendRequest("GET", "/");
    const written = async () => Number(textOf(await runtime.request("GET", "/written")));
    await expect.poll(() => runtime.soFar(id)?.text.length).toBe(WINDOW);
    expect(await written()).toBeLessThan(WINDOW + SLACK);
    runtime.take(id, 100_000);
    await expect.poll(() => runtime.soFar(id)?.text.length).toBe(WINDOW + 100_000);
    expect(await written()).toBeLessThan(WINDOW + 100_000 + SLACK);
    runtime.reads = true;
    runtime.take(id, 100_000_000);
    expect((await runtime.next("invokeResult")).payload).toHaveLength(5_000_000);
  });

  it("that fails breaks the answer off, and the log says why", async () => {
    await using runtime = await RuntimeProcess.load(`
      const failing = (error) => new ReadableStream({ async start(c) {
        c.enqueue(Buffer.from("half "));
        await new Promise((resolve) => setTimeout(resolve, 20));
        c.error(error);
      } });
      export default { fetch(request) {
        const { pathname } = new URL(request.url);
        if (pathname === "/text") return new Response(new ReadableStream({ start(c) { c.enqueue("text"); } }));
        if (pathname === "/late") return new Response(new ReadableStream({ async start(c) {
          c.enqueue(Buffer.from("half "));
          setTimeout(() => Promise.reject(new RangeError("nobody caught it")), 20);
        } }));
        return new Response(failing(new RangeError("no more")));
      } }`);
    const broken = await runtime.request("GET", "/");
    expect(broken).toMatchObject({
      functionError: "Unhandled",
      errorType: "RangeError",
      errorMessage: "no more",
    });
    expect(textOf(broken)).toBe("half ");
    expect(runtime.output).toContain("Request request failed: RangeError: no more");
    const late = await runtime.request("GET", "/late");
    expect(late).toMatchObject({ errorType: "Runtime.UnhandledPromiseRejection" });
    // Before its head it is a whole error.
    expect(errorOf(await runtime.request("GET", "/text")).errorMessage).toContain("must give bytes");
  });

  it("ends at the timeout", async () => {
    await using runtime = await RuntimeProcess.load(`
      export const log = [];
      export default { fetch(request) {
        if (request.url.endsWith("/log")) return new Response(log.join());
        request.signal.addEventListener("abort", () => log.push("aborted"));
        return new Response(new ReadableStream({ start(c) { c.enqueue(Buffer.from("half ")) }, cancel() { log.push("cancelled") } }));
      } }`);
    runtime.sendRequest("GET", "/", "", {}, { timeoutMs: 200 });
    const result = await runtime.next("invokeResult");
    expect(result).toMatchObject({
      streams: true,
      functionError: "Unhandled",
      errorType: "Sandbox.Timedout",
    });
    expect(textOf(await runtime.request("GET", "/log"))).toMatch(/^(cancelled,aborted|aborted,cancelled)$/);
  });

  it("has no body for HEAD", async () => {
    await using runtime = await RuntimeProcess.load(
      "export default { fetch: () => new Response(new ReadableStream({ start(c) { c.enqueue(Buffer.from('x')) } }), { headers: { 'x-a': '1' } }) }",
    );
    const result = await runtime.request("HEAD", "/");
    expect([result.status, textOf(result), linesOf(result)]).toEqual([200, "", ["x-a: 1"]]);
  });
});

describe("a caller that goes away", () => {
  it("aborts the signal, ends the stream, and the next request is served", async () => {
    await using runtime = await RuntimeProcess.load(`
      const log = [];
      export default { async fetch(request) {
        const { pathname } = new URL(request.url);
        if (pathname === "/log") return new Response(log.splice(0).join());
        request.signal.addEventListener("abort", () => log.push(request.signal.reason.name));
        if (pathname === "/stream") return new Response(new ReadableStream({
          start(c) { c.enqueue(Buffer.from("x")) }, cancel() { log.push("cancelled") } }));
        if (pathname === "/heeds") await new Promise((_, reject) => request.signal.addEventListener("abort", () => reject(request.signal.reason)));
        if (pathname === "/ignores") await new Promise(() => {});
      } }`);
    const stream = runtime.sendRequest("GET", "/stream");
    await expect.poll(() => runtime.soFar(stream)?.text).toBe("x");
    runtime.send({ type: "cancelInvoke", id: stream });
    expect(await runtime.next("invokeResult")).toMatchObject({ id: stream, errorType: "AbortError" });
    expect(
      textOf(await runtime.request("GET", "/log"))
        .split(",")
        .sort(),
    ).toEqual(["AbortError", "cancelled"]);

    runtime.send({ type: "cancelInvoke", id: runtime.sendRequest("GET", "/heeds") });
    expect(errorOf(await runtime.next("invokeResult")).errorType).toBe("AbortError");
    runtime.send({ type: "cancelInvoke", id: runtime.sendRequest("GET", "/ignores") });
    expect(await runtime.next("invokeResult")).toMatchObject({ status: 0, errorType: "Runtime.Abandoned" });
    expect(textOf(await runtime.request("GET", "/log"))).toBe("AbortError,AbortError");
  });

  it("does not stop a handler of events", async () => {
    await using runtime = await RuntimeProcess.load(
      `export const handler = async (event, { signal }) => {
         await new Promise((resolve) => signal.addEventListener("abort", resolve));
         await new Promise((resolve) => setTimeout(resolve, 1500));
         return "done"; }`,
    );
    runtime.send({ type: "cancelInvoke", id: runtime.sendRequest("GET", "/") });
    expect(textOf(await runtime.next("invokeResult"))).toBe("done");
  });
});

describe("the body of a request", () => {
  it("reaches a fetch handler as it arrives, and is asked for as it is read", async () => {
    await using runtime = await RuntimeProcess.load(`
      export default { async fetch(request) {
        if (request.url.endsWith("/echo")) return new Response(request.body, { headers: { "x-a": "1" } });
        return new Response("unread");
      } }`);
    const id = runtime.sendRequest("POST", "/echo", "", {}, { more: true });
    runtime.sendPiece(id, "first ");
    await expect.poll(() => runtime.soFar(id)?.text).toBe("first ");
    runtime.sendPiece(id, "x".repeat(60_000));
    runtime.sendPiece(id, "y".repeat(60_000));
    runtime.sendPiece(id, "z".repeat(60_000));
    await expect.poll(() => runtime.granted).toBeGreaterThan(120_000);
    runtime.sendPiece(id, "last", true);
    const result = await runtime.next("invokeResult");
    expect(result).toMatchObject({ id, streams: true, functionError: "" });
    expect(textOf(result).replace(/(x|y|z)\1*/g, "$1")).toBe("first xyzlast");
    // One that nobody reads holds nobody up.
    const granted = runtime.granted;
    runtime.sendRequest("POST", "/", "begin", {}, { more: true });
    expect(textOf(await runtime.next("invokeResult"))).toBe("unread");
    expect(runtime.granted).toBe(granted);
  });

  it("breaks off for who reads it when the caller goes", async () => {
    await using runtime = await RuntimeProcess.load(`
      export default { async fetch(request) {
        try { await request.text(); } catch (error) { return new Response(error.name); }
      } }`);
    const id = runtime.sendRequest("POST", "/", "half", {}, { more: true });
    runtime.send({ type: "cancelInvoke", id });
    expect(textOf(await runtime.next("invokeResult"))).toBe("AbortError");
  });

  it("reaches a handler of events whole, up to 6 MiB", async () => {
    await using runtime = await RuntimeProcess.load(
      "export const handler = async (event) => String(event.body.length)",
    );
    const id = runtime.sendRequest("POST", "/", "", {}, { more: true });
    runtime.sendPiece(id, "abc");
    runtime.sendPiece(id, "def", true);
    expect(textOf(await runtime.next("invokeResult"))).toBe("6");
    const limit = 6 * 1024 * 1024;
    expect(textOf(await runtime.request("POST", "/", Buffer.alloc(limit, 97)))).toBe(String(limit));
    const over = await runtime.request("POST", "/", Buffer.alloc(limit + 1, 97));
    expect([over.status, textOf(over)]).toEqual([413, expect.stringContaining("fetch handler")]);
  });
});

describe("several streams at once", () => {
  it("have credit, errors and logs of their own", async () => {
    await using runtime = await RuntimeProcess.load(`
      export default { async fetch(request) {
        const name = new URL(request.url).pathname.slice(1);
        const chunk = Buffer.alloc(50_000, name);
        let left = 10;
        return new Response(new ReadableStream({ async pull(c) {
          await new Promise((resolve) => setTimeout(resolve, 1));
          if (left-- > 0) return c.enqueue(chunk);
          console.error("end of " + name);
          if (name === "b") throw new RangeError("of b alone");
          c.close();
        } }));
      } }`);
    runtime.reads = false;
    const [a, b] = [runtime.sendRequest("GET", "/a"), runtime.sendRequest("GET", "/b")];
    await expect.poll(() => [a, b].map((id) => runtime.soFar(id)?.text.length)).toEqual([WINDOW, WINDOW]);
    runtime.take(b, 1_000_000);
    const broken = await runtime.next("invokeResult");
    expect(broken).toMatchObject({ id: b, errorType: "RangeError", errorMessage: "of b alone" });
    expect(textOf(broken)).toBe("b".repeat(500_000));
    expect(runtime.soFar(a)?.text).toBe("a".repeat(WINDOW));
    runtime.take(a, 1_000_000);
    const whole = await runtime.next("invokeResult");
    expect(whole).toMatchObject({ id: a, functionError: "" });
    expect(textOf(whole)).toBe("a".repeat(500_000));
  });
});
