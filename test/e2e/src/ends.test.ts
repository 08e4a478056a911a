import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call, remove } from "./api.ts";
import { deployed } from "./folders.ts";

/** Longer than what a function does after its answer takes to happen, in a slow machine. */
const AFTERWARDS_MS = 3_000;

beforeAll(async () => {
  await deployed("mortal", "web");
});
afterAll(() => remove("mortal"));

async function text(path: string): Promise<string> {
  const { status, body } = await call(`/url/mortal${path}`);
  return `${status} ${body.toString("utf8")}`;
}

describe("a process that ends", () => {
  it.each(["/exit", "/zero", "/kill", "/abort"])(
    "while it answers %s costs that request alone",
    async (path) => {
      const ended = await text(path);
      expect(ended).toMatch(/^502 /);
      expect(ended).not.toContain("FunctionDeployException");
      expect(await text("/")).toBe("200 ok");
    },
  );

  it.each([
    ["/throw-after", "200 answered"],
    ["/exit-after", "200 answered"],
    ["/throw-during", expect.stringMatching(/^502 /)],
  ])("by what %s left behind costs no later request", async (path, answer) => {
    expect(await text(path)).toEqual(answer);
    await sleep(AFTERWARDS_MS);
    expect([await text("/"), await text("/")]).toEqual(["200 ok", "200 ok"]);
  });
});
