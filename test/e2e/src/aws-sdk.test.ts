import {
  CreateFunctionCommand,
  DeleteFunctionCommand,
  GetFunctionConfigurationCommand,
  InvokeCommand,
  LambdaClient,
  UpdateFunctionCodeCommand,
  waitUntilFunctionActiveV2,
  waitUntilFunctionUpdatedV2,
} from "@aws-sdk/client-lambda";
import { afterAll, describe, expect, it } from "vitest";
import { zipOf } from "../../../packages/functions/test/archives.ts";
import { url } from "./api.ts";

const credentials = { accessKeyId: "any", secretAccessKey: "any" };
const client = new LambdaClient({ endpoint: url, region: "local", credentials, maxAttempts: 1 });
const FunctionName = "by-sdk";
const waiter = { client, minDelay: 1, maxDelay: 1, maxWaitTime: 300 };

afterAll(async () => {
  await client.send(new DeleteFunctionCommand({ FunctionName })).catch(() => {});
  client.destroy();
});

/** A function that takes its time until it is ready, so that a deploy is seen while it runs. */
function slowZip(answer: string, more = ""): Uint8Array {
  const contents = `await new Promise((resolve) => setTimeout(resolve, 15_000));
    ${more}
    export const handler = async (event, context) => {
      console.log("a line of", context.awsRequestId);
      return { answer: ${JSON.stringify(answer)}, clientContext: context.clientContext ?? null };
    };`;
  return zipOf([{ name: "index.mjs", contents }]);
}

async function invoke(more: object = {}) {
  const result = await client.send(new InvokeCommand({ FunctionName, Payload: "{}", ...more }));
  return { ...result, json: JSON.parse(Buffer.from(result.Payload ?? []).toString()) };
}

const read = () => client.send(new GetFunctionConfigurationCommand({ FunctionName }));

describe("the AWS SDK", () => {
  it("waits until a created function is active, which then answers", async () => {
    const created = await client.send(
      new CreateFunctionCommand({
        FunctionName,
        Role: "arn:aws:iam::123456789012:role/r",
        Runtime: "nodejs24.x",
        Handler: "index.handler",
        Timeout: 60,
        Code: { ZipFile: slowZip("first") },
      }),
    );
    expect(created).toMatchObject({ State: "Pending", LastUpdateStatus: "InProgress" });
    await expect(invoke()).rejects.toMatchObject({ name: "ResourceConflictException" });
    await waitUntilFunctionActiveV2(waiter, { FunctionName });
    expect(await read()).toMatchObject({ State: "Active", LastUpdateStatus: "Successful" });
    expect((await invoke()).json.answer).toBe("first");
  });

  it("waits until an update serves; until then the version before does", async () => {
    const ZipFile = slowZip("second");
    const updated = await client.send(new UpdateFunctionCodeCommand({ FunctionName, ZipFile }));
    expect(updated).toMatchObject({ State: "Active", LastUpdateStatus: "InProgress" });
    expect((await invoke()).json.answer).toBe("first");
    await expect(client.send(new UpdateFunctionCodeCommand({ FunctionName, ZipFile }))).rejects.toMatchObject(
      {
        name: "ResourceConflictException",
      },
    );
    await waitUntilFunctionUpdatedV2(waiter, { FunctionName });
    expect(await read()).toMatchObject({ CodeSha256: updated.CodeSha256, RevisionId: updated.RevisionId });
    expect((await invoke()).json.answer).toBe("second");
  });

  it("is told that an update failed, and the version before goes on", async () => {
    const ZipFile = slowZip("third", "throw new Error('not today');");
    await client.send(new UpdateFunctionCodeCommand({ FunctionName, ZipFile }));
    await expect(waitUntilFunctionUpdatedV2(waiter, { FunctionName })).rejects.toThrow(/FAILURE/);
    expect(await read()).toMatchObject({
      State: "Active",
      LastUpdateStatus: "Failed",
      LastUpdateStatusReason: expect.stringContaining("not today"),
    });
    expect((await invoke()).json.answer).toBe("second");
  });

  it("gets the end of the log with the answer", async () => {
    for (let turn = 0; turn < 2; turn += 1) {
      const { LogResult, $metadata } = await invoke({ LogType: "Tail" });
      const id = $metadata.requestId;
      expect(
        Buffer.from(LogResult ?? "", "base64")
          .toString()
          .split("\n"),
      ).toEqual([
        `START RequestId: ${id} Version: $LATEST`,
        `a line of ${id}`,
        `END RequestId: ${id}`,
        expect.stringMatching(`^REPORT RequestId: ${id}\tDuration: [0-9.]+ ms\tBilled Duration: .*MB`),
        "",
      ]);
    }
    expect((await invoke()).LogResult).toBeUndefined();
  });
});
