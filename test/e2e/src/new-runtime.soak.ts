import { afterAll, beforeAll, expect, it } from "vitest";
import { invoke, remove } from "./api.ts";
import { deployed } from "./folders.ts";

// Ruby is not among the runtimes of this repository: test/e2e/runtimes/ruby3.1 adds it, as docs/runtimes.md shows.
beforeAll(async () => {
  await deployed("ruby", "ruby", { query: { runtime: "ruby3.1" } });
});
afterAll(() => remove("ruby"));

const cold = () => invoke("ruby", { name: "Ada" }, { "x-firn-start": "cold" });

it("a runtime that was added by a folder starts functions from their snapshots", async () => {
  const [first, second] = [await cold(), await cold()];
  expect(first).toMatchObject({
    status: 200,
    start: "cold",
    json: { greeting: "Hello, Ada!", ruby: expect.stringMatching(/^3\.1/) },
  });
  const [one, other] = [first.json, second.json] as { importedAt: number; random: number }[];
  expect(one?.importedAt).toBe(other?.importedAt);
  expect(one?.random).not.toBe(other?.random);
  expect((await invoke("ruby", { name: "Bo" }, { "x-firn-start": "warm" })).json).toMatchObject({
    greeting: "Hello, Bo!",
  });
});

it("its functions fail by themselves", async () => {
  const failed = await invoke("ruby", { fail: true });
  expect(failed.headers.get("x-amz-function-error")).toBe("Unhandled");
  expect(failed.json).toMatchObject({ errorType: "ArgumentError", errorMessage: "no name" });
  expect((await invoke("ruby", { name: "Bo" })).status).toBe(200);
});
