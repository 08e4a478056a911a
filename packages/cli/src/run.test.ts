import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { list } from "tar";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "./run.ts";

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

let root: string;
let server: Server;
let url: string;
let seen: Seen[];
let answer: { status: number; body: unknown; headers?: Record<string, string> };

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-cli-"));
  seen = [];
  answer = { status: 200, body: {} };
  server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    seen.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers, body });
    response.writeHead(answer.status, { "content-type": "application/json", ...answer.headers });
    response.end(answer.status === 204 ? undefined : JSON.stringify(answer.body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rm(root, { recursive: true, force: true });
});

async function firn(...args: string[]) {
  let out = "";
  let notes = "";
  const status = await run(args, {
    environment: { FIRN_SERVER: url, TOKEN: "from here" },
    write: (text) => {
      out += Buffer.from(text).toString("utf8");
    },
    note: (text) => {
      notes += `${text}\n`;
    },
  });
  return { status, out, notes };
}

async function makeApp(): Promise<string> {
  const folder = join(root, "greeter");
  await mkdir(join(folder, ".git"), { recursive: true });
  await writeFile(join(folder, "index.js"), "export default () => 1");
  await writeFile(join(folder, ".git", "HEAD"), "ref");
  return folder;
}

const record = { name: "greeter", state: "Active", version: 1 };

describe("firn deploy", () => {
  it("packs a folder without .git and sends all settings", async () => {
    answer = {
      status: 201,
      body: { ...record, snapshot: { memoryBytes: 268_435_456, layerBytes: 5_242_880 } },
    };
    const flags = [
      "--memory",
      "128",
      "--timeout=1.5",
      "--entry",
      "index",
      "--runtime",
      "node22",
      "--no-warm",
      "--command=./server --quiet",
      "--port=3000",
      "--env",
      "A=1=2",
      "--env",
      "TOKEN",
    ];
    const { status, out } = await firn("deploy", await makeApp(), ...flags);
    expect([status, out]).toEqual([0, "greeter is Active, version 1, snapshot 5.0 MiB of 256.0 MiB\n"]);
    const [request] = seen;
    expect(request?.method).toBe("PUT");
    expect(request?.url).toBe(
      "/functions/greeter?entry=index&runtime=node22&memoryMib=128&timeoutMs=1500&warm=false&command=%5B%22.%2Fserver%22%2C%22--quiet%22%5D&port=3000",
    );
    const environment = Buffer.from(String(request?.headers["x-firn-environment"]), "base64").toString();
    expect(JSON.parse(environment)).toEqual({ A: "1=2", TOKEN: "from here" });
    const archive = join(root, "sent.tgz");
    await writeFile(archive, request?.body ?? "");
    const names: string[] = [];
    await list({ file: archive, onReadEntry: (entry) => void names.push(entry.path) });
    expect(names.sort()).toEqual(["./", "./index.js"]);
  });

  it("sends a zip as it is, under the name asked for", async () => {
    const zip = join(root, "app.zip");
    await writeFile(zip, "PK-bytes");
    answer = { status: 200, body: record };
    expect((await firn("deploy", zip, "--name", "other")).status).toBe(0);
    expect(seen[0]?.url).toBe("/functions/other");
    expect(seen[0]?.headers["content-type"]).toBe("application/zip");
    expect(seen[0]?.body.toString()).toBe("PK-bytes");
  });

  it("shows why a function could not be deployed, with its stack", async () => {
    answer = { status: 422, body: { Message: "boom", code: "FIRN_FUNCTION_IMPORT", Stack: "at index.js:1" } };
    const { status, notes } = await firn("deploy", await makeApp());
    expect([status, notes]).toEqual([1, "firn: boom [FIRN_FUNCTION_IMPORT]\nat index.js:1\n"]);
  });

  it.each([
    ["a folder that is not there", ["deploy", "/nowhere/at/all"], "does not exist"],
    ["memory that is no number", ["deploy", ".", "--memory", "lots"], "--memory lots"],
    ["a timeout of zero", ["deploy", ".", "--timeout", "0"], "--timeout 0"],
    ["a bad variable", ["deploy", ".", "--env", "1A=x"], "NAME=VALUE"],
    ["a variable that is not set", ["deploy", ".", "--env", "NOT_SET"], "not set here"],
    ["a misspelt flag", ["deploy", ".", "--mermory", "1"], "--mermory"],
    ["no source", ["deploy"], "SOURCE"],
    ["an unknown command", ["depoly"], "depoly"],
    ["two events", ["invoke", "a", "--data", "1", "--file", "x"], "not both"],
    ["an unknown start", ["invoke", "a", "--start", "hot"], "--start hot"],
    ["a server that is no URL", ["list", "--server", "localhost"], "no URL"],
  ])("exits 2 for %s and sends nothing", async (_, args, text) => {
    const { status, notes } = await firn(...args);
    expect(notes).toContain(text);
    expect([status, seen]).toEqual([2, []]);
  });
});

describe("firn invoke", () => {
  it("prints the answer, and how it was started beside it", async () => {
    const headers = { "x-firn-start": "cold", "server-timing": "restore;dur=3.100, total;dur=12.345" };
    answer = { status: 200, body: { hi: 1 }, headers };
    const { status, out, notes } = await firn("invoke", "greeter", "--data", '{"a":1}', "--start", "cold");
    expect([status, out, notes]).toEqual([0, '{"hi":1}', "cold start, 12.3 ms\n"]);
    expect(seen[0]).toMatchObject({ method: "POST", url: "/2015-03-31/functions/greeter/invocations" });
    expect(seen[0]?.headers["x-firn-start"]).toBe("cold");
    expect(seen[0]?.body.toString()).toBe('{"a":1}');
  });

  it("exits 1 when the function failed, and still prints its error", async () => {
    answer = { status: 200, body: { errorMessage: "no" }, headers: { "x-amz-function-error": "Unhandled" } };
    const { status, out, notes } = await firn("invoke", "greeter");
    expect([status, out]).toEqual([1, '{"errorMessage":"no"}']);
    expect(notes).toContain("greeter failed (Unhandled)");
  });
});

describe("firn list, delete and health", () => {
  it("lays functions out in columns", async () => {
    const base = { memoryMib: 256, timeoutMs: 3000, updated: "2026-01-01T00:00:00Z", failure: null };
    answer = { status: 200, body: { functions: [{ ...base, name: "a-long-name", state: "Active" }] } };
    const { out } = await firn("list");
    expect(out.split("\n")).toEqual([
      "NAME         STATE   MEMORY   TIMEOUT  UPDATED               FAILURE",
      "a-long-name  Active  256 MiB  3 s      2026-01-01T00:00:00Z",
      "",
    ]);
  });

  it("deletes", async () => {
    answer = { status: 204, body: null };
    expect(await firn("delete", "greeter")).toMatchObject({ status: 0, out: "greeter is deleted\n" });
    expect(seen[0]).toMatchObject({ method: "DELETE", url: "/functions/greeter" });
  });

  it("exits 1 with the reason when the server cannot work", async () => {
    answer = {
      status: 200,
      body: { status: "degraded", kvm: { available: false, reason: "No KVM." }, base: {} },
    };
    const { status, notes } = await firn("health");
    expect([status, notes]).toEqual([1, "firn: The server is degraded. No KVM.\n"]);
  });

  it("exits 3 when no server answers", async () => {
    const { status, notes } = await firn("list", "--server", "http://127.0.0.1:1");
    expect(status).toBe(3);
    expect(notes).toContain("No server answers at http://127.0.0.1:1");
  });

  it("shows usage for --help, and with status 2 for nothing", async () => {
    expect(await firn("deploy", "--help")).toMatchObject({
      status: 0,
      out: expect.stringContaining("--memory"),
    });
    expect(await firn()).toMatchObject({ status: 2, out: expect.stringContaining("invoke") });
  });
});
