import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateFunctionCommand, LambdaClient, waitUntilFunctionActiveV2 } from "@aws-sdk/client-lambda";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileFunctions, compileJava } from "../../../guest-images/runtimes/java17/test/compile.ts";
import { type ArchiveEntry, tarOf, zipOf } from "../../../packages/functions/test/archives.ts";
import { type Answer, deploy, invoke, remove, url } from "./api.ts";
import { repository } from "./environment.ts";

const CLONES = 10;

const hello = mkdtempSync(join(tmpdir(), "firn-hello-java-"));
const examples = mkdtempSync(join(tmpdir(), "firn-java-"));

function filesOf(folder: string): ArchiveEntry[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => ({ name: path.slice(folder.length + 1), contents: readFileSync(path) }));
}

function helloFiles(): ArchiveEntry[] {
  const settings = readFileSync(join(repository, "guest-images/functions/hello-java/package.json"));
  return [...filesOf(hello), { name: "package.json", contents: settings }];
}

async function deployed(name: string, files: ArchiveEntry[], handler: string): Promise<Answer> {
  const answer = await deploy(name, tarOf(files), { runtime: "java17", handler, memoryMib: 256 });
  expect(answer.json).toMatchObject({ state: "Active" });
  return answer;
}

beforeAll(async () => {
  await compileJava(join(repository, "guest-images/functions/hello-java/src"), hello);
  await compileFunctions(examples);
  await deployed("hello-java", helloFiles(), "example.Hello::handleRequest");
});

afterAll(async () => {
  for (const name of ["hello-java", "java-stream", "java-failing", "java-hooks", "java-by-sdk"])
    await remove(name);
  for (const folder of [hello, examples]) rmSync(folder, { recursive: true });
});

describe("Java 17", () => {
  it("answers in every start mode", async () => {
    for (const start of ["cold", "warm", "base", "regular"]) {
      const answer = await invoke("hello-java", { name: start }, { "x-firn-start": start });
      expect(answer).toMatchObject({ status: 200, start, json: { greeting: `Hello, ${start}!` } });
    }
  });

  it("draws no random number twice in clones", async () => {
    const seen: Record<string, unknown>[] = [];
    for (let clone = 0; clone < CLONES; clone += 1) {
      const { json } = await invoke("hello-java", { show: "random" }, { "x-firn-start": "cold" });
      seen.push(json as Record<string, unknown>);
    }
    for (const name of ["uuid", "randomBytes", "mathRandom", "random", "newRandom", "threadLocalRandom"]) {
      expect([name, new Set(seen.map((answer) => answer[name])).size]).toEqual([name, CLONES]);
    }
    expect(new Set(seen.map(({ loadedAt }) => loadedAt)).size).toBe(1);
  });

  it("reads and writes streams", async () => {
    await deployed("java-stream", filesOf(examples), "example.Upper");
    for (const start of ["cold", "warm"]) {
      expect((await invoke("java-stream", "straße", { "x-firn-start": start })).json).toBe("STRASSE");
    }
  });

  it("tells what a function throws, and goes on", async () => {
    await deployed("java-failing", filesOf(examples), "example.Failing");
    const failed = await invoke("java-failing", { how: "cause" }, { "x-firn-start": "cold" });
    expect(failed.status).toBe(200);
    expect(failed.headers.get("x-amz-function-error")).toBe("Unhandled");
    expect(failed.json).toMatchObject({
      errorMessage: "outside",
      errorType: "java.lang.IllegalStateException",
      cause: { errorMessage: "inside" },
    });
    expect((await invoke("java-failing", {}, { "x-firn-start": "warm" })).json).toBe("fine");
  });

  it("runs the hooks of CRaC around the snapshot", async () => {
    await deployed("java-hooks", filesOf(examples), "example.Hooked");
    const calls = ["before second", "before first", "after first", "after second"];
    for (const start of ["cold", "warm", "cold"]) {
      expect((await invoke("java-hooks", {}, { "x-firn-start": start })).json).toEqual(calls);
    }
  });

  it("says why a function cannot be deployed", async () => {
    const refused = await deploy("java-nothing", tarOf(filesOf(examples)), {
      runtime: "java17",
      handler: "example.Nobody",
      memoryMib: 256,
    });
    expect(refused.body.toString("utf8")).toContain("Class not found: example.Nobody");
    await remove("java-nothing");
    for (const runtime of ["java8.al2", "java11", "java21", "java25"]) {
      const answer = await deploy("java-other", tarOf(helloFiles()), { runtime });
      expect([answer.status, answer.body.toString("utf8")]).toEqual([400, expect.stringContaining("java17")]);
    }
  });

  it("is had by the AWS SDK", async () => {
    const credentials = { accessKeyId: "any", secretAccessKey: "any" };
    const client = new LambdaClient({ endpoint: url, region: "local", credentials, maxAttempts: 1 });
    const FunctionName = "java-by-sdk";
    const created = await client.send(
      new CreateFunctionCommand({
        FunctionName,
        Role: "arn:aws:iam::123456789012:role/r",
        Runtime: "java17",
        Handler: "example.Hello::handleRequest",
        MemorySize: 256,
        Timeout: 60,
        Code: { ZipFile: zipOf(helloFiles()) },
      }),
    );
    expect(created).toMatchObject({ Runtime: "java17", Handler: "example.Hello::handleRequest" });
    await waitUntilFunctionActiveV2({ client, minDelay: 1, maxDelay: 1, maxWaitTime: 300 }, { FunctionName });
    client.destroy();
    expect((await invoke(FunctionName, {})).json).toEqual({ greeting: "Hello, world!" });
  });
});
