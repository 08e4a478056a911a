import { afterEach, describe, expect, it } from "vitest";
import { type ArchiveEntry, zipOf } from "../../../packages/functions/test/archives.ts";
import { call, deploy, invoke, remove } from "./api.ts";
import { deployed, filesOf } from "./folders.ts";

afterEach(() => remove("form"));

/** CreateFunction, and what the function says once it is no longer Pending. */
async function created(handler: string): Promise<unknown> {
  const ZipFile = zipOf(filesOf("forms/nested")).toString("base64");
  const { status, body } = await call("/2015-03-31/functions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      ...{ FunctionName: "form", Handler: handler, Timeout: 60, Runtime: "nodejs24.x" },
      ...{ Role: "arn:aws:iam::000000000000:role/r", Code: { ZipFile } },
    }),
  });
  if (status !== 201) return body.toString("utf8");
  const state = async () =>
    ((await call("/2015-03-31/functions/form/configuration")).json as { State: string }).State;
  await expect.poll(state, { timeout: 300_000, interval: 500 }).not.toBe("Pending");
  return (await invoke("form")).json;
}

describe("a handler of the Lambda API", () => {
  it.each([
    ["index.flat", "flat"],
    ["src/app.handler", "in a folder"],
    ["index.api.users.list", "nested"],
  ])("%s is found", async (handler, answer) => {
    expect(await created(handler)).toBe(answer);
  });
});

it("main of package.json may be a folder", async () => {
  await deployed("form", "forms/main-is-folder");
  expect((await invoke("form")).json).toBe("main is a folder");
});

describe("a zip", () => {
  const file = (name: string, contents: string): ArchiveEntry => ({ name, contents });
  it.each<[string, Buffer, unknown]>([
    [
      "of macOS, whose names are UTF-8 and do not say so",
      zipOf([
        file(
          "index.mjs",
          'import { readFileSync } from "node:fs"; export const handler = async () => JSON.parse(readFileSync(new URL("./donn\\u00e9es.json", import.meta.url), "utf8"));',
        ),
        { name: Buffer.from("données.json"), contents: '"read"' },
      ]),
      "read",
    ],
    [
      "of Windows, with backslashes",
      zipOf(
        [
          file("index.js", 'exports.handler = async () => require("./lib/deep/answer.js");'),
          file("lib\\deep\\answer.js", 'module.exports = "windows";'),
        ],
        { madeBy: 0 },
      ),
      "windows",
    ],
    [
      "with programs, links and modes",
      zipOf([
        { name: "bin/tool", contents: '#!/bin/sh\necho "tool says $1"\n', executable: true },
        file("lib/answer.v2.js", 'module.exports = "through a link";'),
        { name: "lib/answer.js", link: "answer.v2.js" },
        {
          name: "index.js",
          contents:
            'const { execFileSync } = require("node:child_process"); exports.handler = async () => [execFileSync("./bin/tool", ["yes"], { encoding: "utf8" }).trim(), require("./lib/answer.js")];',
          mode: 0o100_000,
        },
      ]),
      ["tool says yes", "through a link"],
    ],
    [
      "whose package.json begins with a byte order mark",
      zipOf([
        file("package.json", '\ufeff{"type":"module"}'),
        file("index.js", 'export const handler = async () => "mark";'),
      ]),
      "mark",
    ],
  ])("%s is deployed as it is meant", async (_, zip, answer) => {
    const { body } = await deploy("form", zip, {}, { "content-type": "application/zip" });
    const { json } = await invoke("form");
    expect(json, body.toString("utf8")).toEqual(answer);
  });

  it("with one folder around everything is refused, and the folder is named", async () => {
    const zip = zipOf([file("my-function-main/index.js", "exports.handler = async () => 1;")]);
    const { status, body } = await deploy("form", zip);
    expect({ status, body: body.toString("utf8") }).toEqual({
      status: 400,
      body: expect.stringContaining("my-function-main"),
    });
  });
});

describe("a function", () => {
  it("may answer by a callback", async () => {
    await deployed("form", "callback");
    expect((await invoke("form")).json).toBe("by callback");
    expect((await invoke("form")).json).toBe("by callback");
  });

  it("has its NODE_OPTIONS, its time zone and all other variables as they are", async () => {
    await deployed("form", "options", {
      environment: {
        ...{ NODE_OPTIONS: "--enable-source-maps --import /srv/setup.mjs", TZ: "Asia/Tokyo" },
        ...{ LINES_: "a\nb=c", UNICODE_: "日本", EMPTY_: "" },
      },
    });
    expect((await invoke("form")).json).toMatchObject({
      ...{ sourceMaps: true, setup: "loaded", tokyoHour: 9 },
      ...{ lines: "a\nb=c", unicode: "日本", empty: "" },
    });
  });
});
