import { join } from "node:path";
import {
  CreateFunctionCommand,
  DeleteFunctionCommand,
  InvokeCommand,
  LambdaClient,
  waitUntilFunctionActiveV2,
} from "@aws-sdk/client-lambda";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tarOf, zipOf } from "../../../packages/functions/test/archives.ts";
import { type Answer, call, deploy, invoke, remove, url } from "./api.ts";
import { repository } from "./environment.ts";
import { deployed, filesBelow, filesOf } from "./folders.ts";
import { cryptography, flask, numpy, starlette } from "./python-packages.ts";

const runtime = "python3.11";
/** More by `npm run soak`. */
const CLONES = process.env.FIRN_SOAK === "1" ? 200 : 20;
const names = [
  "hello-python",
  "py-clones",
  "py-shapes",
  "py-later",
  "py-flask",
  "py-starlette",
  "py-numpy",
  "py-cryptography",
];

afterAll(() => Promise.all(names.map(remove)));

async function json(name: string, event: unknown, start: string): Promise<Record<string, unknown>> {
  const answer = await invoke(name, event, { "x-firn-start": start });
  const { status, body } = answer;
  expect({ status, start: answer.start, body: body.toString("utf8") }).toMatchObject({ status: 200, start });
  return answer.json as Record<string, unknown>;
}

/** Deploys a folder below `functions/python` together with packages. */
async function withPackages(name: string, folder: string, packages: string, query: Record<string, string>) {
  // Tests of packages would only make the deploy slow.
  const modules = filesBelow(packages).filter(({ name }) => !/\/tests?\//.test(String(name)));
  const files = [...filesOf(`python/${folder}`), ...modules];
  const answer = await deploy(name, tarOf(files), { runtime, ...query });
  expect(answer.json).toMatchObject({ state: "Active" });
  return answer;
}

describe("a function in Python", () => {
  let answer: Answer;
  beforeAll(async () => {
    const files = filesBelow(join(repository, "guest-images", "functions", "hello-python"));
    answer = await deploy("hello-python", tarOf(files), { runtime });
  });

  it("is deployed as it is, with a diff of at most 15 % of guest memory", () => {
    expect(answer.json).toMatchObject({ name: "hello-python", state: "Active", warnings: [] });
    const { snapshot } = answer.json as { snapshot: { layerBytes: number; memoryBytes: number } };
    expect(snapshot.layerBytes / snapshot.memoryBytes).toBeLessThanOrEqual(0.15);
  });

  it("answers in every start mode", async () => {
    for (const start of ["cold", "warm", "base", "regular"]) {
      expect(await json("hello-python", { name: start }, start)).toEqual({ greeting: `Hello, ${start}!` });
    }
    const { status, json: body } = await call("/url/hello-python/?name=Ada");
    expect({ status, body }).toEqual({ status: 200, body: { greeting: "Hello, Ada!" } });
  });

  it("was imported once, before the snapshot", async () => {
    const first = await json("hello-python", { show: "random" }, "cold");
    const second = await json("hello-python", { show: "random" }, "cold");
    expect(first.importedAt).toBe(second.importedAt);
    expect(first.invocations).toBe(second.invocations);
  });
});

describe("clones of a function in Python", () => {
  it(`have nothing random in common: ${CLONES} of them`, async () => {
    const { json: record } = await deployed("py-clones", "python/clones", { query: { runtime } });
    expect(record).toMatchObject({
      warnings: [
        {
          code: "FIRN_RANDOM_BEFORE_SNAPSHOT",
          message: expect.stringContaining("lambda_function.py:30 (random.getrandbits)"),
        },
      ],
    });
    const answers: { unique: Record<string, unknown>; kept: number; restored: number }[] = [];
    for (let clone = 0; clone < CLONES; clone += 1)
      answers.push((await json("py-clones", {}, "cold")) as never);
    for (const name of Object.keys(answers[0]?.unique ?? {})) {
      const values = answers.map(({ unique }) => unique[name]);
      expect([name, new Set(values).size]).toEqual([name, CLONES]);
    }
    expect(new Set(answers.map(({ kept, restored }) => `${kept} ${restored}`)).size).toBe(1);
  });

  it("share no numbers of numpy", async () => {
    const { json: record } = await withPackages("py-numpy", "numpy", await numpy(), {});
    expect(record).toMatchObject({ warnings: [] });
    const values: unknown[] = [];
    for (let clone = 0; clone < 3; clone += 1) {
      const answer = await json("py-numpy", {}, "cold");
      expect(answer.sum).toBe(45);
      values.push(...(answer.values as unknown[]));
    }
    expect(new Set(values).size).toBe(values.length);
  });

  it("share no keys of a package that has an OpenSSL of its own", async () => {
    await withPackages("py-cryptography", "cryptography", await cryptography(), {});
    const keys: unknown[] = [];
    for (let clone = 0; clone < 3; clone += 1) keys.push((await json("py-cryptography", {}, "cold")).key);
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe("handlers in Python", () => {
  it("fail as on AWS Lambda, and the next request works", async () => {
    await deployed("py-shapes", "python/shapes", { query: { runtime, entry: "main", timeoutMs: 5000 } });
    for (const [what, errorType] of [
      ["fail", "LookupError"],
      ["set", "Runtime.MarshalError"],
      ["exit", "Runtime.ExitError"],
      ["sleep", "Sandbox.Timedout"],
    ]) {
      const answer = await invoke("py-shapes", { do: what });
      expect(answer.status).toBe(200);
      expect(answer.json).toMatchObject({ errorType });
      expect(answer.headers.get("x-amz-function-error")).toBe("Unhandled");
      expect((await invoke("py-shapes", { fine: 1 })).json).toEqual({ fine: 1 });
    }
  });

  it("may be async, and know whether they are rehearsed", async () => {
    await deployed("py-later", "python/shapes", { query: { runtime, entry: "main", handler: "later" } });
    expect(await json("py-later", [1], "cold")).toEqual({ rehearsal: false, event: [1] });
  });

  it("may be a WSGI application: Flask as it is", async () => {
    await withPackages("py-flask", "flask", await flask(), { entry: "main", handler: "app" });
    const hello = await call("/url/py-flask/hello/Ada?x=1", { headers: { "x-firn-start": "cold" } });
    expect(hello).toMatchObject({ status: 201, start: "cold" });
    expect([hello.body.toString(), hello.headers.get("x-query")]).toEqual(["Hello, Ada!", "x=1"]);
    expect(hello.headers.get("set-cookie")).toMatch(/^session=/);
    const echo = { method: "POST", body: '{"a":1}', headers: { "content-type": "application/json" } };
    expect((await call("/url/py-flask/echo", echo)).json).toEqual({ a: 1 });
    expect((await call("/url/py-flask/fail")).status).toBe(500);
    expect((await call("/url/py-flask/nowhere")).status).toBe(404);
  });

  it("may be an ASGI application: Starlette as it is", async () => {
    await withPackages("py-starlette", "starlette", await starlette(), { entry: "main" });
    const home = await call("/url/py-starlette/?q=1", {
      method: "POST",
      body: "body",
      headers: { "x-firn-start": "cold" },
    });
    expect(home).toMatchObject({
      status: 200,
      start: "cold",
      json: { started: "yes", query: { q: "1" }, body: "body" },
    });
    expect((await call("/url/py-starlette/parts")).body.toString()).toBe("part 0\npart 1\npart 2\n");
  });
});

describe("the AWS SDK", () => {
  const credentials = { accessKeyId: "any", secretAccessKey: "any" };
  const client = new LambdaClient({ endpoint: url, region: "local", credentials, maxAttempts: 1 });
  const FunctionName = "py-sdk";
  const settings = { FunctionName, Role: "arn:aws:iam::123456789012:role/r", Timeout: 60 };
  const contents =
    "def fn(event, context):\n    return [event, context.invoked_function_arn.split(':')[-1]]\n";
  const ZipFile = zipOf([
    { name: "package/__init__.py", contents: "" },
    { name: "package/module.py", contents },
  ]);

  afterAll(async () => {
    await client.send(new DeleteFunctionCommand({ FunctionName })).catch(() => {});
    client.destroy();
  });

  it("creates a function of python3.11, its handler in a package", async () => {
    const Handler = "package.module.fn";
    await client.send(
      new CreateFunctionCommand({ ...settings, Runtime: "python3.11", Handler, Code: { ZipFile } }),
    );
    const waiter = { client, minDelay: 1, maxDelay: 1, maxWaitTime: 300 };
    const { reason } = await waitUntilFunctionActiveV2(waiter, { FunctionName });
    expect(reason.Configuration).toMatchObject({ Runtime: "python3.11", Handler });
    const { Payload, FunctionError } = await client.send(
      new InvokeCommand({ FunctionName, Payload: '{"a":1}' }),
    );
    expect(FunctionError).toBeUndefined();
    expect(JSON.parse(Buffer.from(Payload ?? []).toString())).toEqual([{ a: 1 }, "py-sdk"]);
  });

  it("is refused other releases of Python, by name and with what there is", async () => {
    for (const Runtime of ["python3.12", "python3.13", "python3.14"] as const) {
      const wanted = client.send(
        new CreateFunctionCommand({
          ...settings,
          FunctionName: "py-other",
          Runtime,
          Handler: "a.b",
          Code: { ZipFile },
        }),
      );
      await expect(wanted).rejects.toMatchObject({
        name: "InvalidParameterValueException",
        message: expect.stringMatching(`${Runtime}.*python3.11`),
      });
    }
  });
});
