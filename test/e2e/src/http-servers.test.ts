import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ArchiveEntry, tarOf } from "../../../packages/functions/test/archives.ts";
import { call, deploy, invoke, remove } from "./api.ts";
import { buildGo, noGo } from "./go.ts";

const NAME = "web-in-go";

interface Answer {
  readonly started: number;
  readonly requests: number;
  readonly restored: string;
}

async function ask(start: string, init: RequestInit = {}): Promise<Answer> {
  const headers = { "x-firn-start": start };
  const answer = await call(`/url/${NAME}/some/path`, { ...init, headers });
  expect(answer, answer.body.toString("utf8")).toMatchObject({ status: 202, start });
  return answer.json as Answer;
}

describe.skipIf(noGo !== undefined)(`an HTTP server in Go${noGo === undefined ? "" : ` (${noGo})`}`, () => {
  beforeAll(async () => {
    const settings = { command: ["./server"], port: 3000, samples: [{ http: { path: "/sample" } }] };
    const files: ArchiveEntry[] = [
      { name: "server", contents: await buildGo("go-server"), executable: true },
      { name: "package.json", contents: JSON.stringify({ firn: settings }) },
    ];
    const variables = Buffer.from(JSON.stringify({ VARIABLE: "a value" })).toString("base64");
    const runtime = { runtime: "provided", memoryMib: 128 };
    const deployed = await deploy(NAME, tarOf(files), runtime, { "x-firn-environment": variables });
    expect(deployed.json, deployed.body.toString("utf8")).toMatchObject({ state: "Active", warnings: [] });
  });
  afterAll(() => remove(NAME));

  it("answers requests in every start mode", async () => {
    for (const start of ["cold", "warm", "base", "regular"]) {
      const answer = await ask(start, { method: "POST", body: "x".repeat(100_000) });
      expect(answer).toMatchObject({
        method: "POST",
        path: "/some/path",
        bytes: 100_000,
        variable: "a value",
      });
    }
  });

  it("was started once, and each clone was told of its restore", async () => {
    const [first, second] = [await ask("cold"), await ask("cold")];
    expect(first.started).toBe(second.started);
    expect(first.restored).not.toBe("no");
    expect(first.restored).not.toBe(second.restored);
    expect((await ask("warm")).requests).toBe(second.requests + 1);
  });

  it("sends its answer as it writes it", async () => {
    const { status, headers, body } = await call(`/url/${NAME}/events`);
    expect([status, headers.get("content-type")]).toEqual([200, "text/event-stream"]);
    expect(body.toString("utf8")).toBe("data: 0\n\ndata: 1\n\ndata: 2\n\n");
  });

  it("takes no events, and says so", async () => {
    const { status, json } = await invoke(NAME, {});
    expect(status).toBe(200);
    expect(json).toMatchObject({ errorType: "Runtime.EventNotSupported" });
  });

  it("fails when it exits, and the next request works", async () => {
    expect((await call(`/url/${NAME}/exit`)).status).toBe(502);
    expect((await call(`/url/${NAME}/`)).status).toBe(202);
  });
});

describe("the command of an HTTP server", () => {
  it("is refused at the deploy when its program is not there, or does not listen", async () => {
    const files = [{ name: "server", contents: "#!/bin/sh\nexit 4\n", executable: true }];
    const refused = async (command: string[]) => {
      const query = { command: JSON.stringify(command), port: 3000 };
      const { status, body } = await deploy("no-server", tarOf(files), query);
      await remove("no-server");
      expect(status).toBeGreaterThanOrEqual(400);
      return body.toString("utf8");
    };
    expect(await refused(["./nothing"])).toMatch(/no file .*nothing/);
    expect(await refused(["./server"])).toMatch(/exited with status 4/);
  });
});
