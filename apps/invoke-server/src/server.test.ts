import { existsSync } from "node:fs";
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tarOf, zipOf } from "../../../packages/functions/test/archives.ts";
import { serveForTest } from "../test/serve.ts";

let server: Awaited<ReturnType<typeof serveForTest>>;
beforeAll(async () => {
  server = await serveForTest();
});
afterAll(() => server[Symbol.asyncDispose]());

const hello = zipOf([{ name: "index.js", contents: "export default () => new Response('hi')" }]);
const zip = { "content-type": "application/zip" };
const MIB = 1024 * 1024;

async function call(path: string, init: RequestInit = {}) {
  const json = typeof init.body === "string" ? { "content-type": "application/json" } : {};
  const response = await fetch(server.url + path, { ...init, headers: { ...json, ...init.headers } });
  const text = await response.text();
  return { response, status: response.status, text, json: text === "" ? undefined : JSON.parse(text) };
}

const invoke = (
  name: string,
  body: string | Uint8Array<ArrayBuffer> = "{}",
  headers: Record<string, string> = {},
) => call(`/2015-03-31/functions/${name}/invocations`, { method: "POST", body, headers });
const deploy = (name: string, body: Uint8Array, headers: Record<string, string> = zip, query = "") =>
  call(`/functions/${name}${query}`, { method: "PUT", body: body as Uint8Array<ArrayBuffer>, headers });

describe("bad requests get an error in the shape of the Lambda API", () => {
  it.each([
    [
      "an unknown function",
      () => invoke("nobody"),
      404,
      "ResourceNotFoundException",
      "FIRN_FUNCTION_NOT_FOUND",
    ],
    ["an unknown route", () => call("/nowhere"), 404, "ResourceNotFoundException", "FIRN_NOT_FOUND"],
    [
      "an unknown function by HTTP",
      () => call("/url/nobody/a"),
      404,
      "ResourceNotFoundException",
      "FIRN_FUNCTION_NOT_FOUND",
    ],
    [
      "a name that is none",
      () => call("/functions/a%20b"),
      400,
      "InvalidParameterValueException",
      "FIRN_INVALID_NAME",
    ],
    [
      "another qualifier",
      () => invoke("nobody:7"),
      400,
      "InvalidParameterValueException",
      "FIRN_INVALID_NAME",
    ],
    [
      "a text as archive",
      () => deploy("a", Buffer.from("x"), { "content-type": "text/plain" }),
      415,
      "UnsupportedMediaTypeException",
      "FIRN_MEDIA_TYPE",
    ],
    [
      "an archive that is none",
      () => deploy("a", Buffer.from("PKnonsense")),
      400,
      "InvalidParameterValueException",
      "FIRN_APP_INVALID",
    ],
    [
      "an archive without the entry",
      () => deploy("a", hello, zip, "?entry=main.js"),
      400,
      "InvalidParameterValueException",
      "FIRN_APP_INVALID",
    ],
    [
      "an archive that leaves its folder",
      () => deploy("a", tarOf([{ name: "../x", contents: "" }])),
      400,
      "InvalidParameterValueException",
      "FIRN_APP_INVALID",
    ],
    [
      "too much memory",
      () => deploy("a", hello, zip, "?memoryMib=4096"),
      400,
      "InvalidParameterValueException",
      "FIRN_INVALID_PARAMETER",
    ],
    [
      "a timeout of an hour",
      () => deploy("a", hello, zip, "?timeoutMs=3600000"),
      400,
      "InvalidRequestContentException",
      "FIRN_INVALID_REQUEST",
    ],
    [
      "an unknown setting",
      () => deploy("a", hello, zip, "?memory=1"),
      400,
      "InvalidRequestContentException",
      "FIRN_INVALID_REQUEST",
    ],
    [
      "an environment that is none",
      () => deploy("a", hello, { ...zip, "x-firn-environment": "!" }),
      400,
      "InvalidRequestContentException",
      "FIRN_INVALID_REQUEST",
    ],
    ...["__proto__", "constructor.", "=", ""].map(
      (name): [string, () => ReturnType<typeof call>, number, string, string] => [
        `a variable of the name ${name}`,
        () =>
          deploy("a", hello, {
            ...zip,
            "x-firn-environment": Buffer.from(`{${JSON.stringify(name)}:"x"}`).toString("base64"),
          }),
        400,
        "InvalidRequestContentException",
        "FIRN_INVALID_REQUEST",
      ],
    ),
    ...["?__proto__=1", "?toString=1", "?memoryMib=128&memoryMib=256"].map(
      (query): [string, () => ReturnType<typeof call>, number, string, string] => [
        `the query ${query}`,
        () => deploy("a", hello, zip, query),
        400,
        "InvalidRequestContentException",
        "FIRN_INVALID_REQUEST",
      ],
    ),
    [
      "a creation without code",
      () => call("/2015-03-31/functions", { method: "POST", body: '{"FunctionName":"a"}' }),
      400,
      "InvalidRequestContentException",
      "FIRN_INVALID_REQUEST",
    ],
    [
      "a creation that is no JSON",
      () => call("/2015-03-31/functions", { method: "POST", body: "{" }),
      400,
      "InvalidRequestContentException",
      "FIRN_INVALID_REQUEST",
    ],
  ])("%s", async (_, act, status, type, code) => {
    const answer = await act();
    expect(answer.json).toEqual({ Type: type, Message: expect.stringMatching(/\w+.*/), code });
    expect(answer.status).toBe(status);
    expect(answer.response.headers.get("x-amzn-errortype")).toBe(type);
  });

  it("leaves no function and no upload behind", async () => {
    expect((await call("/functions")).json).toEqual({ functions: [] });
    const { readdir } = await import("node:fs/promises");
    expect(await readdir(`${server.root}/store/images/tmp`)).toEqual([]);
  });
});

describe("on a machine without KVM", () => {
  it("deploys say what is missing, and the app is kept", async () => {
    const answer = await deploy("hello", hello);
    expect(answer.status).toBe(503);
    expect(answer.json).toMatchObject({ Type: "ServiceException", code: missingCode() });
    const { json } = await call("/functions/hello");
    expect(json).toMatchObject({
      name: "hello",
      state: "Failed",
      failure: { code: missingCode() },
      snapshot: null,
    });
  });

  it("invocations of every kind of start say what is missing", async () => {
    for (const start of ["auto", "cold", "base", "regular"]) {
      const answer = await invoke("hello", "{}", { "x-firn-start": start });
      expect(answer.json).toMatchObject({ Type: "ServiceException", code: missingCode() });
      expect(answer.status).toBe(503);
    }
    expect((await call("/url/hello/a?b=c")).json).toMatchObject({ code: missingCode() });
    expect((await call("/health")).json.instances).toEqual({ busy: 0, idle: 0 });
  });

  it("a warm start says that nobody waits", async () => {
    const answer = await invoke("hello", "{}", { "x-firn-start": "warm" });
    expect([answer.status, answer.json.code]).toEqual([409, "FIRN_NO_IDLE_INSTANCE"]);
    expect((await invoke("hello", "{}", { "x-firn-start": "hot" })).json.code).toBe("FIRN_INVALID_REQUEST");
  });

  it("health tells, readiness refuses, liveness does not", async () => {
    const health = await call("/health");
    expect(health.status).toBe(200);
    expect(health.json).toMatchObject({ status: "degraded", kvm: { available: false }, functions: 1 });
    expect(health.json.kvm.reason).toMatch(/arm64|kvm/);
    const { available, level, code } = health.json.jail;
    if (available) expect(level).toMatch(/^(root|user-namespaces|minimal)$/);
    else expect(code).toMatch(/^FIRN_(PLATFORM_UNSUPPORTED|VMM_BINARY_MISSING)$/);
    expect(health.json.prepared).toMatchObject({ waiting: 0, hits: 0, lastFailure: null });
    expect((await call("/health/ready")).status).toBe(503);
    expect((await call("/health/live")).status).toBe(200);
  });

  it("a payload over 6 MiB is refused, announced or not, before anything is started", async () => {
    const large = Buffer.alloc(6 * MIB + 1, 32);
    const announced = await invoke("hello", large);
    expect([announced.status, announced.json.Type]).toEqual([413, "RequestTooLargeException"]);
    const chunked = await new Promise<number | undefined>((resolve, reject) => {
      const path = "/2015-03-31/functions/hello/invocations";
      const outgoing = request(server.url + path, {
        method: "POST",
        headers: { "transfer-encoding": "chunked", "content-type": "application/json" },
      });
      outgoing.on("response", (incoming) => resolve(incoming.resume().statusCode));
      outgoing.on("error", reject);
      for (let sent = 0; sent < 7; sent += 1) outgoing.write(Buffer.alloc(MIB));
      outgoing.end();
    });
    expect(chunked).toBe(413);
  });

  it("an event may begin with a byte order mark, and must be UTF-8", async () => {
    expect((await invoke("hello", "\ufeff{}")).status).toBe(503);
    expect((await invoke("hello", "\ufeff\ufeff{}")).status).toBe(400);
    const json = { "content-type": "application/json" };
    expect((await invoke("hello", Buffer.from('"\xff"', "latin1"), json)).status).toBe(400);
  });

  it("a payload that is no JSON is refused as a Lambda event", async () => {
    const answer = await invoke("hello", "{nonsense");
    expect([answer.status, answer.json.Type]).toEqual([400, "InvalidRequestContentException"]);
  });

  it("speaks the control part of the Lambda API", async () => {
    const body = JSON.stringify({
      FunctionName: "arn:aws:lambda:eu-central-1:123456789012:function:lambda",
      Runtime: "nodejs22.x",
      Role: "arn:aws:iam::1:role/r",
      Handler: "index.default",
      Code: { ZipFile: hello.toString("base64") },
      MemorySize: 128,
      Timeout: 5,
      Environment: { Variables: { GREETING: "hi" } },
    });
    const created = await call("/2015-03-31/functions", { method: "POST", body });
    expect(created.status).toBe(201);
    expect(created.json).toMatchObject({
      FunctionName: "lambda",
      State: "Pending",
      Timeout: 5,
      MemorySize: 128,
    });
    const read = () => call("/2015-03-31/functions/lambda/configuration");
    await expect.poll(async () => (await read()).json.State).toBe("Failed");
    expect((await read()).json).toMatchObject({ StateReasonCode: missingCode(), Handler: "index.default" });
    expect((await call("/2015-03-31/functions")).json.Functions).toHaveLength(2);
    const dry = await invoke("lambda", "{}", { "x-amz-invocation-type": "DryRun" });
    expect(dry.status).toBe(204);
    expect((await call("/2015-03-31/functions/lambda", { method: "DELETE" })).status).toBe(204);
    expect((await read()).status).toBe(404);
  });

  it("keeps values of the environment out of its own view and out of the log", async () => {
    const environment = Buffer.from('{"SECRET":"xyzzy"}').toString("base64");
    await deploy("secretive", hello, { ...zip, "x-firn-environment": environment });
    const view = await call("/functions/secretive");
    expect(view.json.environment).toEqual(["SECRET"]);
    expect(view.text + JSON.stringify(server.lines)).not.toContain("xyzzy");
    await call("/functions/secretive", { method: "DELETE" });
  });
});

describe("stopping", () => {
  it("answers 503 while it drains, and leaves a store that opens with its functions", async () => {
    await using first = await serveForTest();
    await fetch(`${first.url}/functions/hello`, {
      method: "PUT",
      body: hello as Uint8Array<ArrayBuffer>,
      headers: zip,
    });
    await first.stop();
    await expect(fetch(`${first.url}/health`)).rejects.toThrow();
    const environment = { FIRN_STORE: first.config.store };
    await using second = await serveForTest(environment);
    const functions = (await (await fetch(`${second.url}/functions`)).json()) as {
      functions: { name: string }[];
    };
    expect(functions.functions.map(({ name }) => name)).toEqual(["hello"]);
    await expect(serveForTest(environment)).rejects.toMatchObject({ code: "FIRN_STORE_IN_USE" });
  });
});

/** The tests run on machines with and without ARM; none of them gives its process a VMM. */
function missingCode() {
  if (process.arch !== "arm64") return "FIRN_PLATFORM_UNSUPPORTED";
  return existsSync("/dev/kvm") ? expect.stringMatching(/^FIRN_/) : "FIRN_KVM_UNAVAILABLE";
}
