import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { linesOf, RuntimeProcess, textOf } from "./runtime-process.ts";

it("the examples of the README run", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const [first = "", second = "", ...rest] = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(
    ([, code]) => code,
  );
  expect(rest).toEqual([]);

  await using fetching = await RuntimeProcess.load(first);
  await fetching.quiesce();
  await fetching.resume();
  const hello = await fetching.request("GET", "/?name=Firn");
  expect(textOf(hello)).toBe("Hello, Firn!");
  expect(linesOf(hello)).toContainEqual(expect.stringMatching(/^x-session: [0-9a-f]{32}$/));

  await using handling = await RuntimeProcess.load(second);
  const created = await handling.request("GET", "/path?name=Firn");
  expect([created.status, textOf(created)]).toEqual([201, '{"hello":"Firn"}']);
  expect(linesOf(created)).toEqual([
    "x-path: /path",
    "set-cookie: seen=1; Path=/",
    "content-type: application/json",
  ]);
});
