import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call, invoke, remove } from "./api.ts";
import { deployed } from "./folders.ts";

beforeAll(async () => {
  await deployed("lambda", "lambda", { query: { handler: "handler" } });
});
afterAll(() => remove("lambda"));

const complete = { variables: [], context: [], event: [] };

describe("what Lambda functions find around them", () => {
  it("is complete for an event, and for a request to the function's URL", async () => {
    expect((await invoke("lambda")).json).toMatchObject({ missing: complete, handler: "index.handler" });
    expect((await call("/url/lambda/a?b=c")).json).toMatchObject({ missing: complete });
  });

  it("has no arguments of the runtime's own", async () => {
    expect((await invoke("lambda")).json).toMatchObject({ argv: [] });
  });

  it("has the client context, and gives the end of the log to who asks for it", async () => {
    const context = { custom: { k: "v" } };
    const { json, headers } = await invoke(
      "lambda",
      {},
      {
        "x-amz-client-context": Buffer.from(JSON.stringify(context)).toString("base64"),
        "x-amz-log-type": "Tail",
      },
    );
    expect(json).toMatchObject({ clientContext: context });
    const tail = Buffer.from(headers.get("x-amz-log-result") ?? "", "base64").toString("utf8");
    expect(tail).toContain("a line for the tail");
  });
});
