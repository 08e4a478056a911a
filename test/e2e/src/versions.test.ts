import { afterEach, describe, expect, it } from "vitest";
import { call, deployModule, invoke, remove } from "./api.ts";

const SLOW_MS = 30_000;
const source = (version: string) => `import { setTimeout as sleep } from "node:timers/promises";
  export const handler = async ({ ms = 0 }) => { await sleep(ms); return "${version}"; };`;
const settings = { handler: "handler", timeoutMs: 600_000 };

afterEach(() => remove("recreated"));

describe("a function that is deleted and deployed again", () => {
  it("is never answered by the old code, also when an instance of that was busy", async () => {
    await deployModule("recreated", source("v1"), settings);
    expect((await invoke("recreated")).json).toBe("v1");
    const slow = invoke("recreated", { ms: SLOW_MS });
    await expect.poll(async () => (await call("/health")).json).toMatchObject({ instances: { busy: 1 } });
    expect((await call("/functions/recreated", { method: "DELETE" })).status).toBe(204);
    await deployModule("recreated", source("v2"), settings);
    expect((await slow).json).toBe("v1");
    for (let n = 0; n < 3; n += 1) expect((await invoke("recreated")).json).toBe("v2");
  });
});
