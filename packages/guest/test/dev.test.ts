import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DevServer, startDevServer } from "../src/dev/dev-server.ts";

const program = fileURLToPath(new URL("../src/runtime/main.ts", import.meta.url));
const FUNCTION = `
  import { afterRestore } from "@firn/guest";
  type Way = (request: Request) => BodyInit | Promise<BodyInit>;
  let restored = false;
  afterRestore(() => { restored = true; });
  const ways: Record<string, Way> = {
    "/": () => "restored: " + restored,
    "/echo": (request) => request.text(),
    "/duplex": (request) => new ReadableStream({ async start(c) {
      const reader = request.body.getReader();
      c.enqueue((await reader.read()).value);
      c.enqueue((await reader.read()).value);
      c.close();
    } }),
    "/throws": () => { throw new RangeError("thrown here"); },
    "/broken": () => new ReadableStream({ async start(c) { c.enqueue(Buffer.from("half")); setTimeout(() => c.error(new Error("no")), 20); } }),
    "/exit": () => process.exit(3),
  };
  export default { fetch: async (request: Request): Promise<Response> => new Response(await ways[new URL(request.url).pathname](request)) };`;

let root: string;
let server: DevServer;
const start = (entry: string) =>
  startDevServer({ root, entry, handler: "", program, port: 0, host: "127.0.0.1" });
beforeAll(async () => {
  process.execArgv.push("--conditions=firn-source");
  root = await mkdtemp(join(tmpdir(), "firn-dev-"));
  await writeFile(join(root, "package.json"), '{"type":"module"}');
  await writeFile(join(root, "index.ts"), FUNCTION);
  await writeFile(
    join(root, "lambda.js"),
    "export const handler = async ({ rawPath }) => ({ path: rawPath });",
  );
  await writeFile(join(root, "fails.js"), "throw new RangeError('at the top');");
  server = await start("index.ts");
});
afterAll(async () => {
  process.execArgv.pop();
  await server[Symbol.asyncDispose]();
  await rm(root, { recursive: true, force: true });
});

const get = async (path: string, init: RequestInit = {}) => {
  const response = await fetch(server.url + path, init);
  return `${response.status} ${await response.text()}`;
};

describe("firn-guest dev", () => {
  it("says how it is used, and what is wrong with how it was", async () => {
    const main = fileURLToPath(new URL("../src/dev/main.ts", import.meta.url));
    const run = (...args: string[]) =>
      promisify(execFile)(process.execPath, ["--conditions=firn-source", main, ...args]);
    expect((await run("--help")).stdout).toContain("Usage: firn-guest dev FILE");
    await expect(run("dev", "nowhere.ts")).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining("There is no file nowhere.ts."),
    });
    await expect(run("dev", main, "--port", "x")).rejects.toMatchObject({ code: 2 });
  });

  it("serves a function in TypeScript, its hooks done", async () => {
    expect(await get("/")).toBe("200 restored: true");
    expect(await get("/echo", { method: "POST", body: "x".repeat(1_000_000) })).toHaveLength(1_000_004);
  });

  it("streams both ways", async () => {
    const sent = request(`${server.url}/duplex`, {
      method: "POST",
      headers: { "transfer-encoding": "chunked" },
    });
    sent.write("first ");
    const [response] = await once(sent, "response");
    const chunks = response.iterator({ destroyOnReturn: false });
    expect(String((await chunks.next()).value)).toBe("first ");
    sent.end("second");
    expect(String((await chunks.next()).value)).toBe("second");
    expect((await chunks.next()).done).toBe(true);
  });

  it("shows what a function threw, with its stack", async () => {
    const answer = await get("/throws");
    expect(answer).toMatch(/^502 .*RangeError.*thrown here/);
    expect(JSON.parse(answer.slice(4)).trace.join("\n")).toContain("index.ts:");
    await expect(get("/broken")).rejects.toThrow();
  });

  it("starts a function again whose process has ended", async () => {
    expect(await get("/exit")).toBe("502 The function's process has ended: status 3.\n");
    expect(await get("/")).toBe("200 restored: true");
  });

  it("refuses WebSockets", async () => {
    const headers = { connection: "Upgrade", upgrade: "websocket" };
    const sent = request(server.url, { headers });
    sent.end();
    const [response] = await once(sent, "response");
    expect(response.statusCode).toBe(501);
    response.resume();
  });

  it("serves a handler of AWS Lambda", async () => {
    await using lambda = await start("lambda.js");
    expect(await (await fetch(`${lambda.url}/a`)).json()).toEqual({ path: "/a" });
  });

  it("says why a function cannot be loaded, with its stack", async () => {
    await expect(start("fails.js")).rejects.toThrow(/at the top[\s\S]*fails\.js:1/);
  });
});
