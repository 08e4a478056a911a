import { describe, expect, it } from "vitest";
import { linesOf, RuntimeProcess, textOf } from "./runtime-process.ts";

describe("an event of a function URL", () => {
  it("has the fields of payload format 2.0", async () => {
    await using runtime = await RuntimeProcess.load("export const handler = (event) => event");
    const before = Date.now();
    const result = await runtime.request(
      "POST",
      "http://my-function.example:8080/a%20b/c?x=1&x=2&y=%C3%A9",
      "",
      {
        "User-Agent": "tests",
        cookie: "a=1; b=2",
        "X-Forwarded-For": "192.0.2.7, 10.0.0.1",
      },
    );
    const event = JSON.parse(textOf(result));
    const { time, timeEpoch } = event.requestContext;
    expect(event).toEqual({
      version: "2.0",
      routeKey: "$default",
      rawPath: "/a%20b/c",
      rawQueryString: "x=1&x=2&y=%C3%A9",
      cookies: ["a=1", "b=2"],
      headers: {
        "user-agent": "tests",
        "x-forwarded-for": "192.0.2.7, 10.0.0.1",
        host: "my-function.example:8080",
      },
      queryStringParameters: { x: "1,2", y: "é" },
      requestContext: {
        accountId: "anonymous",
        apiId: "my-function",
        domainName: "my-function.example:8080",
        domainPrefix: "my-function",
        http: {
          method: "POST",
          path: "/a%20b/c",
          protocol: "HTTP/1.1",
          sourceIp: "10.0.0.1",
          userAgent: "tests",
        },
        requestId: "request",
        routeKey: "$default",
        stage: "$default",
        time,
        timeEpoch,
      },
      isBase64Encoded: false,
    });
    expect(time).toMatch(/^\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000$/);
    expect(timeEpoch).toBeGreaterThanOrEqual(before);
  });

  it("keeps what the caller names apart from what objects have", async () => {
    await using runtime = await RuntimeProcess.load("export const handler = (event) => event");
    const names = ["toString", "constructor", "__proto__", "hasOwnProperty", "valueOf"];
    const query = names.map((name) => `${name}=1&${name}=2`).join("&");
    const headers = names.flatMap((name) => [
      { name, value: "1" },
      { name, value: "2" },
    ]);
    const event = JSON.parse(textOf(await runtime.request("GET", `/?${query}`, "", headers)));
    for (const name of names) {
      expect(Object.getOwnPropertyDescriptor(event.queryStringParameters, name)?.value).toBe("1,2");
      expect(Object.getOwnPropertyDescriptor(event.headers, name.toLowerCase())?.value).toBe("1,2");
    }
  });

  it("has a body of text if its bytes are that, and of base64 otherwise", async () => {
    await using runtime = await RuntimeProcess.load(
      "export const handler = ({ body, isBase64Encoded }) => ({ body, isBase64Encoded })",
    );
    for (const [bytes, type, body, isBase64Encoded] of [
      [Buffer.from("tëxt\0"), "application/octet-stream", "tëxt\0", false],
      [Buffer.from("\ufeffa"), "text/plain", "\ufeffa", false],
      [Buffer.of(0x7b, 0xff), "application/json", "e/8=", true],
      [Buffer.of(0xc3), "", "ww==", true],
    ] as const) {
      const result = await runtime.request("POST", "/", bytes, type === "" ? {} : { "content-type": type });
      expect(JSON.parse(textOf(result))).toEqual({ body, isBase64Encoded });
    }
  });

  it("has any method, and the body of a GET", async () => {
    await using runtime = await RuntimeProcess.load(
      "export const handler = (event) => event.requestContext.http.method + event.body",
    );
    expect(textOf(await runtime.request("TRACE", "/", "b"))).toBe("TRACEb");
    expect(textOf(await runtime.request("GET", "/", "b"))).toBe("GETb");
  });
});

describe("a fetch handler", () => {
  it("is called by every method that a Request can have, and the others are refused", async () => {
    await using runtime = await RuntimeProcess.load(
      "let calls = 0; export default { fetch: async (r) => new Response(r.method + ++calls + await r.text()) }",
    );
    let calls = 0;
    for (const method of ["OPTIONS", "PROPFIND", "DELETE", "PATCH", "M-SEARCH"]) {
      expect(textOf(await runtime.request(method, "/", "b"))).toBe(`${method}${++calls}b`);
    }
    for (const method of ["TRACE", "CONNECT", "TRACK"]) {
      const result = await runtime.request(method, "/");
      expect([result.status, result.functionError]).toEqual([501, ""]);
      expect(textOf(result)).toContain(method);
    }
    for (const method of ["GET", "HEAD"]) {
      const result = await runtime.request(method, "/", "body");
      expect([result.status, result.functionError]).toEqual([400, ""]);
      expect(linesOf(result)).toContain("content-type: text/plain; charset=utf-8");
    }
    expect(textOf(await runtime.request("GET", "/"))).toBe(`GET${++calls}`);
  });
});

describe("a default export that is a function", () => {
  it("and answers with a Response gets a Request", async () => {
    await using runtime = await RuntimeProcess.load(`
      let events = 0;
      export default async (request) => {
        if (request?.rawPath !== undefined) events += 1;
        return new Response("hi " + request.method, { status: 201, headers: { "x-events": events } });
      }`);
    for (const method of ["GET", "POST"]) {
      const result = await runtime.request(method, "/some/path");
      expect([result.status, textOf(result)]).toEqual([201, `hi ${method}`]);
      expect(linesOf(result)).toContain("x-events: 1");
    }
    expect(runtime.output).toContain("export default { fetch(request)");
  });

  it("and takes nothing answers with its Response at once", async () => {
    await using runtime = await RuntimeProcess.load(
      "let calls = 0; export default () => new Response(String(++calls))",
    );
    expect(textOf(await runtime.request("GET", "/"))).toBe("1");
    expect(textOf(await runtime.invoke({}))).toBe("2");
  });
});

it("an event with a byte order mark is the event behind it", async () => {
  await using runtime = await RuntimeProcess.load("export default (event) => event");
  const payload = Buffer.from('\ufeff{"a":1,"__proto__":2}');
  runtime.send({ type: "invoke", id: 9, requestId: "r", timeoutMs: 5000, kind: "event", payload });
  expect(textOf(await runtime.next("invokeResult"))).toBe('{"a":1,"__proto__":2}');
});
