import { createHash } from "node:crypto";
import {
  CreateFunctionCommand,
  type CreateFunctionCommandInput,
  DeleteFunctionCommand,
  GetFunctionCommand,
  GetFunctionConfigurationCommand,
  InvokeCommand,
  InvokeWithResponseStreamCommand,
  LambdaClient,
  ListFunctionsCommand,
  PublishVersionCommand,
  UpdateFunctionCodeCommand,
} from "@aws-sdk/client-lambda";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { zipOf } from "../../../../packages/functions/test/archives.ts";
import { serveForTest } from "../../test/serve.ts";

let server: Awaited<ReturnType<typeof serveForTest>>;
let client: LambdaClient;
beforeAll(async () => {
  server = await serveForTest();
  const credentials = { accessKeyId: "any", secretAccessKey: "any" };
  client = new LambdaClient({ endpoint: server.url, region: "local", credentials, maxAttempts: 1 });
});
afterAll(async () => {
  client.destroy();
  await server[Symbol.asyncDispose]();
});

const zip = zipOf([
  {
    name: "index.mjs",
    contents: "export const handler = () => 1; export const api = { users: { list: () => 2 } };",
  },
  { name: "src/app.mjs", contents: "export const handler = () => 3;" },
]);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("base64");
const Role = "arn:aws:iam::123456789012:role/r";

function create(FunctionName: string, more: Partial<CreateFunctionCommandInput> = {}) {
  const Code = { ZipFile: zip };
  return client.send(
    new CreateFunctionCommand({
      FunctionName,
      Role,
      Runtime: "nodejs24.x",
      Handler: "index.handler",
      Code,
      ...more,
    }),
  );
}

describe("CreateFunction", () => {
  it("answers with what was asked for, and the archive's own digest and size", async () => {
    const created = await create("whole", {
      Handler: "src/app.handler",
      Description: "as said",
      Tags: { team: "ice" },
      MemorySize: 512,
      Timeout: 7,
      Environment: { Variables: { A: "b" } },
      Architectures: ["arm64"],
      PackageType: "Zip",
      EphemeralStorage: { Size: 512 },
      TracingConfig: { Mode: "PassThrough" },
      VpcConfig: { SubnetIds: [], SecurityGroupIds: [] },
      Layers: [],
      Publish: false,
      LoggingConfig: { LogFormat: "Text" },
    });
    expect(created).toMatchObject({
      FunctionName: "whole",
      FunctionArn: expect.stringMatching(/:function:whole$/),
      Handler: "src/app.handler",
      Runtime: "nodejs24.x",
      Role,
      Description: "as said",
      CodeSha256: sha256(zip),
      CodeSize: zip.length,
      MemorySize: 512,
      Timeout: 7,
      Version: "$LATEST",
      RevisionId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      Environment: { Variables: { A: "b" } },
      TracingConfig: { Mode: "PassThrough" },
      State: "Pending",
      LastUpdateStatus: "InProgress",
    });
    const got = await client.send(new GetFunctionCommand({ FunctionName: created.FunctionArn }));
    expect(got.Configuration).toMatchObject({ CodeSha256: sha256(zip), RevisionId: created.RevisionId });
    expect(got.Tags).toEqual({ team: "ice" });
  });

  it("says in both states what a deploy has come to", async () => {
    await create("state");
    const read = () => client.send(new GetFunctionConfigurationCommand({ FunctionName: "state" }));
    await expect.poll(async () => (await read()).State).toBe("Failed");
    expect(await read()).toMatchObject({
      LastUpdateStatus: "Failed",
      StateReasonCode: expect.stringMatching(/^FIRN_/),
      LastUpdateStatusReasonCode: expect.stringMatching(/^FIRN_/),
    });
  });

  it.each<[string, Partial<CreateFunctionCommandInput>]>([
    ["Layers", { Layers: ["arn:aws:lambda:eu-central-1:1:layer:l:1"] }],
    ["VpcConfig", { VpcConfig: { SubnetIds: ["subnet-1"] } }],
    ["ImageUri", { Code: { ImageUri: "i" }, PackageType: "Image" }],
    ["S3Bucket", { Code: { S3Bucket: "b", S3Key: "k" } }],
    ["Publish", { Publish: true }],
    ["DeadLetterConfig", { DeadLetterConfig: { TargetArn: "arn:aws:sqs:eu-central-1:1:q" } }],
    ["TracingConfig", { TracingConfig: { Mode: "Active" } }],
    ["Architectures", { Architectures: ["x86_64"] }],
    ["EphemeralStorage", { EphemeralStorage: { Size: 1024 } }],
    ["FileSystemConfigs", { FileSystemConfigs: [{ Arn: "a", LocalMountPath: "/mnt/a" }] }],
    ["KMSKeyArn", { KMSKeyArn: "arn:aws:kms:eu-central-1:1:key/k" }],
    ["LoggingConfig", { LoggingConfig: { LogFormat: "JSON" } }],
  ])("refuses %s by name", async (field, input) => {
    await expect(create("refused", input)).rejects.toMatchObject({
      name: "InvalidParameterValueException",
      message: expect.stringContaining(field),
      $metadata: { httpStatusCode: 400 },
    });
  });

  it.each<[string, Partial<CreateFunctionCommandInput>, string]>([
    ["no archive", { Code: {} }, "ZipFile"],
    ["what is no zip", { Code: { ZipFile: Buffer.from("PKnonsense") } }, "zip"],
    ["an entry that is not there", { Handler: "main.handler" }, "main"],
    ["a timeout of an hour", { Timeout: 3600 }, "Timeout"],
    ["a runtime that is not there", { Runtime: "python3.12" }, "nodejs24.x"],
    ["memory beyond the classes", { MemorySize: 4096 }, "4096"],
  ])("refuses %s", async (_, input, text) => {
    await expect(create("refused", input)).rejects.toThrow(text);
  });

  it("makes nothing of what is refused, nor of a dry run", async () => {
    const body = {
      FunctionName: "dry",
      Role,
      Handler: "index.handler",
      Code: { ZipFile: zip.toString("base64") },
    };
    const send = async (more: object) => {
      const response = await fetch(`${server.url}/2015-03-31/functions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ ...body, ...more }),
      });
      return { status: response.status, json: (await response.json()) as Record<string, unknown> };
    };
    expect(await send({ DryRun: true })).toMatchObject({ status: 201, json: { CodeSha256: sha256(zip) } });
    expect((await send({ DryRun: true, Handler: "main.handler" })).status).toBe(400);
    expect((await send({ Unknown: 1 })).json).toMatchObject({ Message: expect.stringContaining("Unknown") });
    const { Functions = [] } = await client.send(new ListFunctionsCommand());
    expect(Functions.map(({ FunctionName }) => FunctionName).sort()).toEqual(["state", "whole"]);
  });
});

describe("UpdateFunctionCode", () => {
  it("keeps the rest, has another revision, and is only tried in a dry run", async () => {
    await create("updated", { Description: "kept", Handler: "index.api.users.list" });
    const read = () => client.send(new GetFunctionConfigurationCommand({ FunctionName: "updated" }));
    await expect.poll(async () => (await read()).State).toBe("Failed");
    const before = await read();
    const ZipFile = zipOf([
      { name: "index.mjs", contents: "export const api = { users: { list: () => 4 } };" },
    ]);
    const update = (more: object) =>
      client.send(new UpdateFunctionCodeCommand({ FunctionName: "updated", ZipFile, ...more }));
    expect(await update({ DryRun: true })).toMatchObject({ CodeSha256: sha256(ZipFile) });
    expect(await read()).toMatchObject({ CodeSha256: sha256(zip), RevisionId: before.RevisionId });
    await expect(update({ RevisionId: "another" })).rejects.toMatchObject({
      name: "PreconditionFailedException",
    });
    await expect(update({ S3Bucket: "b", ZipFile: undefined })).rejects.toThrow("S3Bucket");
    const after = await update({ RevisionId: before.RevisionId });
    expect(after).toMatchObject({
      Description: "kept",
      Handler: "index.api.users.list",
      CodeSha256: sha256(ZipFile),
      Role,
    });
    expect(after.RevisionId).not.toBe(before.RevisionId);
  });

  it("is a ResourceNotFoundException for a function that is not there", async () => {
    const gone = client.send(new UpdateFunctionCodeCommand({ FunctionName: "nobody", ZipFile: zip }));
    await expect(gone).rejects.toMatchObject({ name: "ResourceNotFoundException" });
  });
});

describe("Runtime", () => {
  it("is one of those that are here, by AWS's name or its own", async () => {
    const older = await create("older", { Runtime: "nodejs22.x" });
    expect(older.Runtime).toBe("nodejs22.x");
    const response = await fetch(`${server.url}/functions/own-name?runtime=node22`, {
      method: "PUT",
      headers: { "content-type": "application/zip" },
      body: new Uint8Array(zip),
    });
    expect(response.status).toBe(503);
    for (const name of ["older", "own-name"]) {
      expect(await (await fetch(`${server.url}/functions/${name}`)).json()).toMatchObject({
        runtime: "node22",
      });
    }
    const own = await client.send(new GetFunctionConfigurationCommand({ FunctionName: "own-name" }));
    expect(own.Runtime).toBe("nodejs22.x");
  });
});

describe("Invoke", () => {
  const invoke = (more: object) =>
    client.send(new InvokeCommand({ FunctionName: "whole", Payload: "{}", ...more }));

  it("is a ServiceException that says what is missing here", async () => {
    await expect(invoke({})).rejects.toMatchObject({
      name: "ServiceException",
      $metadata: { httpStatusCode: 503 },
    });
  });

  it("is the same when its response is to be streamed", async () => {
    const stream = (FunctionName: string) =>
      client.send(new InvokeWithResponseStreamCommand({ FunctionName, Payload: "{}" }));
    await expect(stream("whole")).rejects.toMatchObject({ $metadata: { httpStatusCode: 503 } });
    await expect(stream("nobody")).rejects.toMatchObject({ name: "ResourceNotFoundException" });
  });

  it("tries in a dry run whether it could", async () => {
    expect((await invoke({ InvocationType: "DryRun" })).StatusCode).toBe(204);
    await expect(invoke({ InvocationType: "DryRun", FunctionName: "nobody" })).rejects.toMatchObject({
      name: "ResourceNotFoundException",
    });
  });

  it("refuses by name what is not there yet", async () => {
    await expect(invoke({ InvocationType: "Event" })).rejects.toThrow("Asynchronous invocation");
    await expect(invoke({ Qualifier: "7" })).rejects.toThrow("$LATEST");
    const published = client.send(new PublishVersionCommand({ FunctionName: "whole" }));
    await expect(published).rejects.toMatchObject({
      message: expect.stringContaining("versions"),
      name: "InvalidParameterValueException",
    });
  });

  it.each([
    ["no base64", "{}"],
    ["no JSON", Buffer.from("x").toString("base64")],
    ["no object", Buffer.from("[1]").toString("base64")],
    ["too long", Buffer.from(JSON.stringify({ a: "x".repeat(2700) })).toString("base64")],
  ])("refuses a client context that is %s", async (_, ClientContext) => {
    await expect(invoke({ ClientContext })).rejects.toMatchObject({
      name: "InvalidRequestContentException",
      message: expect.stringContaining("X-Amz-Client-Context"),
    });
  });
});

it("DeleteFunction removes it", async () => {
  await client.send(new DeleteFunctionCommand({ FunctionName: "updated" }));
  const gone = client.send(new GetFunctionCommand({ FunctionName: "updated" }));
  await expect(gone).rejects.toMatchObject({ name: "ResourceNotFoundException" });
});
