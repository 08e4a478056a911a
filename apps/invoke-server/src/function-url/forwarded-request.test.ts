import { request } from "node:http";
import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { answerOf } from "../service-error.ts";
import { forwardedRequest } from "./forwarded-request.ts";

const PREFIX = "/url/:name";
const LIMIT = 8 * 1024 * 1024;
const inner = new Hono().all(`${PREFIX}/*`, async (context) => {
  const { http, payload, rest } = await forwardedRequest(context, PREFIX, LIMIT);
  const pieces = [payload];
  for await (const piece of rest ?? []) pieces.push(piece);
  const body = Buffer.concat(pieces).toString("latin1");
  return context.json({
    ...http,
    body: body.length > 1000 ? body.length : body,
    arrives: rest !== undefined,
  });
});
inner.onError((error, context) => {
  const { status, body } = answerOf(error);
  return context.json(body, status);
});
const server = serve({ port: 0, fetch: new Hono().route("/", inner).route("/firn/:tenant", inner).fetch });
let origin: string;
beforeAll(async () => {
  if (!server.listening) await new Promise((resolve) => server.once("listening", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());

interface Seen {
  method: string;
  url: string;
  headers: { name: string; value: string }[];
  body: string | number;
  arrives: boolean;
  code?: string;
}

function send(method: string, path: string, headers: Record<string, string> = {}, body = "") {
  return new Promise<{ status: number; json: Seen }>((resolve, reject) => {
    // `path` apart, so that nothing normalises it on the way.
    const { hostname, port } = new URL(origin);
    const outgoing = request({ hostname, port, path, method, headers }, async (incoming) => {
      const text = Buffer.concat(await incoming.toArray()).toString();
      resolve({ status: incoming.statusCode ?? 0, json: text === "" ? undefined : JSON.parse(text) });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

describe("forwardedRequest()", () => {
  it.each([
    ["/url/hello", "/"],
    ["/url/hello/", "/"],
    ["/url/hello/a/b%2Fc%20d?e=f%26&e=/g?", "/a/b%2Fc%20d?e=f%26&e=/g?"],
    ["/url/hello//other.example/x", "//other.example/x"],
    ["/url/hello/url/hello/x", "/url/hello/x"],
    ["/firn/t1/url/hello/a?b", "/a?b"],
    ["/firn/t1/url/hello", "/"],
    ["/firn/url/url/hello/url/x", "/url/x"],
  ])("%s is %s to the function", async (path, seen) => {
    const { json } = await send("GET", path, { host: "functions.example:81" });
    expect(json.url).toBe(`http://functions.example:81${seen}`);
  });

  it("passes methods and bodies, and headers to the end", async () => {
    const headers = {
      connection: "close, x-hop",
      "x-hop": "1",
      "x-firn-start": "cold",
      "x-forwarded-for": "10.0.0.1",
      te: "trailers",
    };
    const { json } = await send("PROPFIND", "/url/hello/", headers, "\u0000\u0001abc");
    expect(json).toMatchObject({ method: "PROPFIND", body: "\u0000\u0001abc" });
    expect(Object.fromEntries(json.headers.map(({ name, value }) => [name, value]))).toEqual({
      host: origin.slice("http://".length),
      "content-length": "5",
      "x-forwarded-for": "10.0.0.1, 127.0.0.1",
    });
  });

  it.each([
    ["TRACE", {}, "", 501, "FIRN_METHOD_NOT_SUPPORTED"],
    ["GET", { connection: "Upgrade", upgrade: "websocket" }, "", 501, "FIRN_UPGRADE_NOT_SUPPORTED"],
    [
      "GET",
      { "transfer-encoding": "chunked" },
      "x".repeat(6 * 1024 * 1024 + 1),
      413,
      "FIRN_PAYLOAD_TOO_LARGE",
    ],
    ["POST", {}, "x".repeat(8 * 1024 * 1024 + 1), 413, "FIRN_PAYLOAD_TOO_LARGE"],
  ])("refuses %s with %j by name", async (method, headers, body, status, code) => {
    const answer = await send(method, "/url/hello/", headers as Record<string, string>, body);
    expect([answer.status, answer.json.code]).toEqual([status, code]);
  });

  it.each([
    ["that is said to be short", {}, "abc", false],
    ["that is said to be long", {}, "x".repeat(6 * 1024 * 1024 + 1), true],
    ["of which nothing is said", { "transfer-encoding": "chunked" }, "abc", true],
  ])("passes a body %s on as it arrives, or as a whole", async (_, headers, body, arrives) => {
    const { json } = await send("POST", "/url/hello/", headers as Record<string, string>, body);
    expect(json).toMatchObject({ body: body.length > 1000 ? body.length : body, arrives });
  });

  it("passes the body of a GET, too", async () => {
    for (const framing of [{ "content-length": "3" }, { "transfer-encoding": "chunked" }]) {
      const { json } = await send("GET", "/url/hello/", framing as Record<string, string>, "abc");
      expect(json).toMatchObject({ method: "GET", body: "abc" });
    }
  });

  it("takes an offer of HTTP/2 for what it is", async () => {
    const { status } = await send("GET", "/url/hello/", {
      connection: "Upgrade, HTTP2-Settings",
      upgrade: "h2c",
    });
    expect(status).toBe(200);
  });
});
