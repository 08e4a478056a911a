import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { errorOf, linesOf, RuntimeProcess, textOf } from "./runtime-process.ts";

// One handler of events that answers each path with what the expression after "?" says.
let runtime: RuntimeProcess;
beforeAll(async () => {
  runtime = await RuntimeProcess.load(`
    import { Readable } from "node:stream";
    import vm from "node:vm";
    export const handler = async (event) => eval("(" + decodeURIComponent(event.rawQueryString) + ")");
    globalThis.Readable = Readable;
    globalThis.vm = vm;`);
});
afterAll(() => runtime[Symbol.asyncDispose]());

const answer = (expression: string, method = "GET") =>
  runtime.request(method, `/?${encodeURIComponent(expression)}`);
const headersOf = async (expression: string) => {
  const result = await answer(expression);
  expect(result.functionError, textOf(result)).toBe("");
  return linesOf(result).filter((line) => !line.startsWith("content-type"));
};
const messageOf = async (expression: string) => errorOf(await answer(expression)).errorMessage;

describe("what a handler of events returns", () => {
  it.each([
    ["{ statusCode: 302, headers: { location: '/elsewhere' } }", 302],
    ["{ statusCode: 200 }", 200],
    ["{ statusCode: 404, body: null }", 404],
    ["{ statusCode: 200, body: undefined, isBase64Encoded: true }", 200],
    ["{ statusCode: 200, body: '' }", 200],
  ])("has no body unless it gives one: %s", async (expression, status) => {
    const result = await answer(expression);
    expect([result.functionError, result.status, result.payload.length]).toEqual(["", status, 0]);
    expect(linesOf(result).filter((line) => line.startsWith("content-type"))).toEqual([]);
  });

  it.each(["404", "201"])("has the status %s as text or as a number", async (status) => {
    expect((await answer(`{ statusCode: "${status}", body: "b" }`)).status).toBe(Number(status));
    expect((await answer(`{ statusCode: ${status}, body: "b" }`)).status).toBe(Number(status));
  });

  it.each([
    "'abc'",
    "''",
    "'404.5'",
    "404.5",
    "null",
    "undefined",
    "NaN",
    "0",
    "99",
    "101",
    "600",
    "'1e3'",
    "' 200'",
    "[200]",
    "{}",
    "true",
  ])("fails when its status is %s", async (status) => {
    const error = errorOf(await answer(`{ statusCode: ${status}, body: "b" }`));
    expect(error.errorMessage).toContain("statusCode");
  });

  it("has its bytes as they are, its base64 decoded, and other values as JSON", async () => {
    const payloadOf = async (fields: string) => [...(await answer(`{ statusCode: 200, ${fields} }`)).payload];
    expect(await payloadOf("body: Uint8Array.of(0, 255, 128)")).toEqual([0, 255, 128]);
    expect(await payloadOf("body: Buffer.of(0, 255, 128).toString('base64'), isBase64Encoded: true")).toEqual(
      [0, 255, 128],
    );
    expect(await payloadOf("body: new Blob([Uint8Array.of(255)])")).toEqual([255]);
    expect(await payloadOf("body: { a: 1 }")).toEqual([...Buffer.from('{"a":1}')]);
    expect(await payloadOf("body: 'AAEC'")).toEqual([...Buffer.from("AAEC")]);
  });

  it("fails when its body cannot be sent", async () => {
    expect(await messageOf("{ statusCode: 200, body: 'no base64!', isBase64Encoded: true }")).toContain(
      "base64",
    );
    expect(await messageOf("{ statusCode: 200, body: 'eA==', isBase64Encoded: 1 }")).toContain(
      "isBase64Encoded",
    );
    expect(await messageOf("{ statusCode: 200, body: () => 1 }")).toContain("function");
    expect(await messageOf("{ statusCode: 200, body: Readable.from(['a']) }")).toContain("return a Response");
    expect(await messageOf("new ReadableStream()")).toContain("return a Response");
    expect(await messageOf("{ a: 1n }")).toContain("JSON");
  });

  it("is JSON of its own unless it has a status", async () => {
    const result = await answer("{ body: 'b' }");
    expect([result.status, textOf(result), linesOf(result)]).toEqual([
      200,
      '{"body":"b"}',
      ["content-type: application/json"],
    ]);
    expect(textOf(await answer("'text'"))).toBe("text");
  });
});

describe("the headers that a handler of events returns", () => {
  it("are text; those that are undefined or null are left out", async () => {
    expect(
      await headersOf(
        "{ statusCode: 200, headers: { 'X-A': undefined, 'x-b': null, 'x-n': 5, 'x-t': true, 'x-f': false, 'x-e': '', 'x-g': 7n } }",
      ),
    ).toEqual(["x-n: 5", "x-t: true", "x-f: false", "x-e: ", "x-g: 7"]);
  });

  it("may be lists, a Headers object, or fields that every object has", async () => {
    expect(
      await headersOf(
        "{ statusCode: 200, headers: { 'set-cookie': ['a=1; Path=/', 'b=2'], 'x-l': [1, null, 'z'] } }",
      ),
    ).toEqual(["set-cookie: a=1; Path=/", "set-cookie: b=2", "x-l: 1", "x-l: z"]);
    expect(
      await headersOf(
        "{ statusCode: 200, headers: new Headers([['set-cookie', 'a=1'], ['set-cookie', 'b=2']]) }",
      ),
    ).toEqual(["set-cookie: a=1", "set-cookie: b=2"]);
    expect(
      await headersOf('{ statusCode: 200, headers: JSON.parse(\'{"__proto__":"p","constructor":"c"}\') }'),
    ).toEqual(["__proto__: p", "constructor: c"]);
  });

  it("come with cookies and multiValueHeaders", async () => {
    expect(
      await headersOf(
        "{ statusCode: 200, cookies: ['a=1; Path=/', 'b=2'], headers: { 'Set-Cookie': 'c=3' } }",
      ),
    ).toEqual(["set-cookie: c=3", "set-cookie: a=1; Path=/", "set-cookie: b=2"]);
    expect(
      await headersOf(
        "{ statusCode: 200, headers: { 'x-m': '1', 'x-o': 'o' }, multiValueHeaders: { 'set-cookie': ['a=1', 'b=2'], 'X-M': ['1', '2'] } }",
      ),
    ).toEqual(["x-o: o", "set-cookie: a=1", "set-cookie: b=2", "x-m: 1", "x-m: 2"]);
  });

  it("pass as they are when Firn has some of the same name", async () => {
    expect(await headersOf("{ statusCode: 200, headers: { 'Server-Timing': 'db;dur=5' } }")).toEqual([
      "server-timing: db;dur=5",
    ]);
  });

  it.each([
    ["'x-u': '\\u65e5'", "x-u"],
    ["'x-l': 'a\\r\\nx-injected: 1'", "x-l"],
    ["'x-z': '\\0'", "x-z"],
    ["'x y': '1'", "x y"],
    ["'': '1'", '""'],
    ["'x-o': { a: 1 }", "x-o"],
    ["'x-f': () => 1", "x-f"],
    ["'x-s': Symbol('s')", "x-s"],
  ])("are an error that names them when HTTP cannot carry them: %s", async (header, name) => {
    expect(await messageOf(`{ statusCode: 200, headers: { ${header} } }`)).toContain(name);
  });

  it("are an error when they are no object, or the cookies no list of text", async () => {
    expect(await messageOf("{ statusCode: 200, headers: 'x: 1' }")).toContain("headers");
    expect(await messageOf("{ statusCode: 200, cookies: [{ a: 1 }] }")).toContain("cookies");
    expect(await messageOf("{ statusCode: 200, cookies: ['a=1\\n'] }")).toContain("set-cookie");
  });
});

describe("a Response that a handler of events returns", () => {
  it("is the answer, whoever made its class", async () => {
    const own = await answer("new Response('hi', { status: 201, headers: { 'x-mine': '1' } })");
    expect([own.status, textOf(own), linesOf(own)]).toEqual([
      201,
      "hi",
      ["content-type: text/plain;charset=UTF-8", "x-mine: 1"],
    ]);
    const other = await answer(
      "{ status: 202, headers: new Map([['x-other', '1']]), async arrayBuffer() { return Uint8Array.of(1, 255).buffer } }",
    );
    expect([other.status, [...other.payload], linesOf(other)]).toEqual([202, [1, 255], ["x-other: 1"]]);
  });

  it("is an error when it cannot be sent", async () => {
    expect(await messageOf("Response.error()")).toContain("status 0");
    expect(
      errorOf(await answer("(async () => { const r = new Response('x'); await r.text(); return r })()"))
        .errorType,
    ).toBe("TypeError");
  });

  it("keeps the length of its body in the answer to HEAD, and loses the body", async () => {
    const result = await answer("new Response('x'.repeat(1000))", "HEAD");
    expect([result.payload.length, linesOf(result)]).toEqual([
      0,
      ["content-type: text/plain;charset=UTF-8", "content-length: 1000"],
    ]);
    expect(
      linesOf(
        await answer("{ statusCode: 200, headers: { 'Content-Length': 7, 'content-type': 'a/b' } }", "HEAD"),
      ),
    ).toEqual(["content-length: 7", "content-type: a/b"]);
  });
});
