import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { zipOf } from "../../../../packages/functions/test/archives.ts";
import { serveForTest } from "../../test/serve.ts";

let server: Awaited<ReturnType<typeof serveForTest>>;
beforeAll(async () => {
  server = await serveForTest();
});
afterAll(() => server[Symbol.asyncDispose]());

const app = zipOf([{ name: "index.js", contents: "export default () => 1" }]);
const create = JSON.stringify({ FunctionName: "planted", Code: { ZipFile: app.toString("base64") } });
const invocations = "/2015-03-31/functions/planted/invocations";

/** Sends what a browser may: `fetch` here does not let a Host header through. */
function send(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body: string | Buffer = "",
) {
  return new Promise<{ status: number; code: string }>((resolve, reject) => {
    const outgoing = request(server.url + path, { method, headers }, async (incoming) => {
      const text = Buffer.concat(await incoming.toArray()).toString();
      resolve({
        status: incoming.statusCode ?? 0,
        code: text.startsWith("{") ? JSON.parse(text).code : text,
      });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

const CONTROL: [method: string, path: string, type: string, body: string | Buffer][] = [
  ["GET", "/functions", "", ""],
  ["GET", "/functions/planted", "", ""],
  ["PUT", "/functions/planted", "application/zip", app],
  ["DELETE", "/functions/planted", "", ""],
  ["POST", "/functions/planted/http/a", "application/json", "{}"],
  ["GET", "/2015-03-31/functions", "", ""],
  ["GET", "/2015-03-31/functions/", "", ""],
  ["POST", "/2015-03-31/functions", "application/json", create],
  ["GET", "/2015-03-31/functions/planted", "", ""],
  ["GET", "/2015-03-31/functions/planted/configuration", "", ""],
  ["PUT", "/2015-03-31/functions/planted/code", "application/json", create],
  ["DELETE", "/2015-03-31/functions/planted", "", ""],
  ["POST", invocations, "application/json", "{}"],
  ["POST", "/2021-11-15/functions/planted/response-streaming-invocations", "application/json", "{}"],
  ["POST", "/2021-10-31/functions/planted/url", "application/json", "{}"],
  ["GET", "/health", "", ""],
];

describe.each(CONTROL)("%s %s", (method, path, type, body) => {
  const typed: Record<string, string> = type === "" ? {} : { "content-type": type };

  it.each(["evil.example", "evil.example:8080", "127.0.0.1.evil.example"])(
    "is not for the host %j",
    async (host) => {
      const answer = await send(method, path, { ...typed, host }, body);
      expect(answer).toEqual({ status: 403, code: "FIRN_HOST_NOT_ALLOWED" });
    },
  );

  it.each([
    { origin: "https://evil.example" },
    { origin: "null" },
    { origin: "http://localhost:3000" },
    { origin: "file://" },
    { "sec-fetch-site": "cross-site" },
    { origin: "https://evil.example", "sec-fetch-site": "same-origin" },
  ])("is not for a page with %j", async (headers) => {
    const answer = await send(method, path, { ...typed, ...headers }, body);
    expect(answer).toEqual({ status: 403, code: "FIRN_ORIGIN_NOT_ALLOWED" });
  });
});

describe("what a page can send without asking first", () => {
  it.each([
    ["POST", "/2015-03-31/functions", create],
    ["POST", invocations, "{}"],
    ["PUT", "/functions/planted", app],
  ])("%s %s refuses text and forms", async (method, path, body) => {
    for (const type of [
      "text/plain",
      "Text/Plain;charset=UTF-8",
      "multipart/form-data; boundary=b",
      "text/ping",
    ]) {
      expect(await send(method, path, { "content-type": type }, body)).toEqual({
        status: 415,
        code: "FIRN_MEDIA_TYPE",
      });
    }
    const own = { origin: server.url };
    for (const type of [{}, { "content-type": "application/x-www-form-urlencoded" }]) {
      const answer = await send(method, path, { ...own, ...type }, body);
      expect(answer).toEqual({ status: 415, code: "FIRN_MEDIA_TYPE" });
    }
  });

  it("deploys nothing", async () => {
    const functions = await (await fetch(`${server.url}/functions`)).json();
    expect(functions).toEqual({ functions: [] });
  });
});

describe("what is no page, or one of this server", () => {
  it.each([
    ["an AWS client", { "content-type": "application/octet-stream" }],
    ["an AWS client of old", {}],
    ["curl --data", { "content-type": "application/x-www-form-urlencoded" }],
    ["CloudEvents", { "content-type": "application/cloudevents+json; charset=utf-8" }],
    ["a page of this server", { "content-type": "application/json", "sec-fetch-site": "same-origin" }],
    ["localhost", { "content-type": "application/json", host: "localhost:1", origin: "http://localhost:1" }],
  ])("%s may invoke", async (_, headers) => {
    expect(await send("POST", invocations, headers as Record<string, string>, "{}")).toMatchObject({
      code: "FIRN_FUNCTION_NOT_FOUND",
    });
  });

  it("probes ask by any name", async () => {
    expect((await send("GET", "/health/live", { host: "10.1.2.3" })).status).toBe(200);
    expect((await send("GET", "/health/ready", { host: "pod" })).status).toBe(503);
  });

  it("function URLs are for pages of all origins, but not by a name of theirs", async () => {
    const cross = { origin: "https://shop.example", "sec-fetch-site": "cross-site" };
    expect(await send("GET", "/url/nobody", cross)).toMatchObject({ code: "FIRN_FUNCTION_NOT_FOUND" });
    expect(await send("GET", "/url/nobody", { host: "evil.example" })).toMatchObject({
      code: "FIRN_HOST_NOT_ALLOWED",
    });
  });

  it("hosts of the configuration are this server's", async () => {
    await using named = await serveForTest({ FIRN_ALLOWED_HOSTS: "firn.example", FIRN_FUNCTION_HOSTS: "*" });
    const ask = (path: string, headers: Record<string, string>) =>
      new Promise<number | undefined>((resolve, reject) => {
        request(named.url + path, { headers }, (incoming) => resolve(incoming.resume().statusCode))
          .on("error", reject)
          .end();
      });
    expect(await ask("/functions", { host: "firn.example", origin: "https://firn.example" })).toBe(200);
    expect(await ask("/functions", { origin: "https://firn.example" })).toBe(200);
    expect(await ask("/functions", { host: "evil.example" })).toBe(403);
    expect(await ask("/url/nobody", { host: "evil.example" })).toBe(404);
  });
});
