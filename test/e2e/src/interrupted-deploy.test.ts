import { type ArmHost, openArmHost } from "@firn/rig";
import { afterAll, beforeAll, expect, it } from "vitest";
import { zipOf } from "../../../packages/functions/test/archives.ts";
import { superviseServer, untilHealth } from "./arm-server.ts";
import { FOLDER, PORT, RIG_NAME } from "./environment.ts";

let host: ArmHost;
beforeAll(async () => {
  host = await openArmHost({ name: RIG_NAME, keep: true });
});
afterAll(() => host.close());

const contents = `await new Promise((resolve) => setTimeout(resolve, 5000));
  export const handler = async () => "after all";`;
const body = JSON.stringify({
  FunctionName: "interrupted",
  Role: "r",
  Handler: "index.handler",
  Timeout: 60,
  Code: { ZipFile: zipOf([{ name: "index.mjs", contents }]).toString("base64") },
});
const headers = { "content-type": "application/json" };

it("a deploy that was accepted survives the end of the server", async () => {
  const settings = { port: PORT + 1, store: `${FOLDER}/interrupted` };
  const api = (url: string) => `${url}/2015-03-31/functions`;
  const state = async (url: string) => {
    const response = await fetch(`${api(url)}/interrupted/configuration`);
    return ((await response.json()) as { State: string }).State;
  };

  const first = await superviseServer(host, settings);
  try {
    const created = await fetch(api(first.url), { method: "POST", headers, body });
    expect(created.status).toBe(201);
    expect(await state(first.url)).toBe("Pending");
  } finally {
    await first.stop();
  }

  const second = await superviseServer(host, settings);
  try {
    await untilHealth(second.url, ({ status }) => status !== "starting", 300_000);
    await expect.poll(() => state(second.url), { timeout: 300_000, interval: 1000 }).toBe("Active");
    const answer = await fetch(`${api(second.url)}/interrupted/invocations`, {
      method: "POST",
      headers,
      body: "{}",
    });
    expect(await answer.json()).toBe("after all");
  } finally {
    await second.stop();
  }
});
