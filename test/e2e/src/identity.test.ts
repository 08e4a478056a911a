import { afterAll, expect, it } from "vitest";
import { call, invoke, remove } from "./api.ts";
import { deployed } from "./folders.ts";

afterAll(() => remove("twice"));

it("a function that is deleted and made again has nothing of the old one, even if that still works", async () => {
  const limits = { timeoutMs: 600_000 };
  await deployed("twice", "versions", { query: { entry: "v1.mjs", ...limits } });
  expect((await invoke("twice")).json).toBe("v1");
  // It outlives the deploy of the next one.
  const slow = invoke("twice", { ms: 60_000 });
  await invoke("twice", {}, { "x-firn-start": "cold" });
  expect((await call("/functions/twice", { method: "DELETE" })).status).toBe(204);
  await deployed("twice", "versions", { query: { entry: "v2.mjs", ...limits } });
  expect((await invoke("twice", {}, { "x-firn-start": "cold" })).json).toBe("v2");
  await slow;
  for (let time = 0; time < 3; time += 1) expect((await invoke("twice")).json).toBe("v2");
});
