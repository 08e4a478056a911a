import { once } from "node:events";
import { type IncomingMessage, type RequestOptions, request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call, invoke, remove, url } from "./api.ts";
import { deployed } from "./folders.ts";

/** The most that an event and an answer to it may have, in bytes. */
const LIMIT = 6 * 1024 * 1024;

beforeAll(async () => {
  await deployed("echo", "echo");
  await deployed("web", "web");
});
afterAll(async () => {
  await remove("echo");
  await remove("web");
});

/** A request of a kind that `fetch` does not send. */
async function send(path: string, options: RequestOptions, body?: string) {
  const sent = request(url + path, options);
  sent.end(body);
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  const received = Buffer.concat(await response.toArray()).toString("utf8");
  return { status: response.statusCode ?? 0, headers: response.headers, body: received };
}

const invocations = "/2015-03-31/functions/echo/invocations";
const json = { "content-type": "application/json" };
const post = (body: string | Uint8Array) =>
  call(invocations, { method: "POST", headers: json, body: body as Uint8Array<ArrayBuffer> });

describe("an event", () => {
  it("may begin with a byte order mark, or is refused for it", async () => {
    const { status, json } = await post(Buffer.from('\ufeff{"a":1}'));
    if (status !== 400) expect({ status, json }).toEqual({ status: 200, json: { a: 1 } });
  });

  it("has up to 6 MiB, and so has its answer", async () => {
    const fits = await post(`"${"a".repeat(LIMIT - 2)}"`);
    expect(fits.json).toBe(LIMIT - 2);
    const over = await post(`"${"a".repeat(LIMIT - 1)}"`);
    expect({ status: over.status, json: over.json }).toMatchObject({
      status: 413,
      json: { Type: "RequestTooLargeException" },
    });
    expect((await invoke("echo", { length: LIMIT - 2 })).body.length).toBe(LIMIT);
    for (const length of [LIMIT - 1, 18_000_000]) {
      const large = await invoke("echo", { length });
      expect(large.headers.get("x-amz-function-error")).toBe("Unhandled");
    }
    expect((await invoke("echo", { length: 3 })).json).toBe("xxx");
  });
});

describe("a function URL", () => {
  it.each([
    ["OPTIONS", undefined],
    ["PROPFIND", undefined],
    ["DELETE", "abc"],
    ["PATCH", "abc"],
  ])("takes %s", async (method, body) => {
    const headers = body === undefined ? {} : { "content-length": body.length };
    const answer = await send("/url/web/method", { method, headers }, body);
    expect(JSON.parse(answer.body)).toEqual({ method, bytes: body?.length ?? 0 });
  });

  it("refuses TRACE, or takes it", async () => {
    expect([200, 405, 501]).toContain((await send("/url/web/method", { method: "TRACE" })).status);
  });

  it("answers HEAD with the headers of GET alone", async () => {
    const { headers, body } = await send("/url/web/thousand", { method: "HEAD" });
    expect(body).toBe("");
    expect(["1000", undefined]).toContain(headers["content-length"]);
    expect(headers["content-type"]).toMatch(/^text\/plain/);
  });

  it("refuses a request whose headers are too long, and answers one that wants to be a WebSocket", async () => {
    const long = await send("/url/web/", { headers: { "x-long": "h".repeat(40_000) } });
    expect(long.status).toBe(431);
    const upgrade = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13" };
    const { status } = await send("/url/web/", {
      headers: { ...upgrade, "sec-websocket-key": "dGhlIHNhbXBsZQ==" },
    });
    expect([200, 400, 426, 501]).toContain(status);
  });
});
