import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { invoke, remove } from "./api.ts";
import { deployed } from "./folders.ts";

// What a function may have, and what it does when it has no more: the invocation says so, and the next one is answered.
beforeAll(async () => {
  await deployed("limits", "limits");
});
afterAll(() => remove("limits"));

const fine = { status: 200, json: "fine" };

async function next(): Promise<unknown> {
  const { status, json } = await invoke("limits");
  return { status, json };
}

describe("a function that wants more than it may have", () => {
  it.each(["memory", "memory of a child"])("is killed for %s, and the error says so", async (kind) => {
    const answer = await invoke("limits", { kind });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-amz-function-error")).toBe("Unhandled");
    expect(answer.json).toMatchObject({
      errorType: "Runtime.OutOfMemory",
      errorMessage: expect.stringContaining("more memory than it may have"),
    });
    expect(await next()).toEqual(fine);
  });

  it("gets no process beyond its number, and goes on or is ended", async () => {
    const answer = await invoke("limits", { kind: "processes" });
    expect(answer.status).toBe(200);
    expect(await next()).toEqual(fine);
  });

  it("gets ENOSPC from a full /tmp, and has it empty in the next clone", async () => {
    expect((await invoke("limits", { kind: "disk" }, { "X-Firn-Start": "cold" })).json).toBe("ENOSPC");
    const files = await invoke("limits", { kind: "files" }, { "X-Firn-Start": "cold" });
    expect(files.json).toEqual([]);
  });

  // How many are lost depends on the machine; a slow one prints no flood.
  it("loses whole lines of a flood, and the log says how many", async () => {
    expect((await invoke("limits", { kind: "flood" })).json).toBe("fine");
    const lines = () =>
      readFileSync(inject("log"), "utf8")
        .split("\n")
        .filter((line) => line.includes('"limits"'))
        .map((line) => (JSON.parse(line) as { msg: string }).msg);
    const told = () => lines().map((line) => Number(/^(\d+) log lines were dropped/.exec(line)?.[1] ?? 0));
    const printed = () => lines().filter((line) => line.includes("❄"));
    const all = () => printed().length + told().reduce((sum, lost) => sum + lost, 0);
    await expect.poll(all, { timeout: 60_000 }).toBe(10_000);
    expect(printed().every((line) => /^❄{100} \d+$/.test(line))).toBe(true);
    expect(await next()).toEqual(fine);
  });
});
