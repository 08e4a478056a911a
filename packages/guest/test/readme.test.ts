import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { linesOf, RuntimeProcess, textOf } from "./runtime-process.ts";

/** The examples in JavaScript of a document. */
async function examplesOf(document: string): Promise<string[]> {
  const text = await readFile(new URL(document, import.meta.url), "utf8");
  return [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code = ""]) => code);
}

it("the examples of the README run", async () => {
  const [first = "", second = "", third = "", ...rest] = await examplesOf("../README.md");
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
  expect(await runTest(first, third)).toBe("Hello, world!\n");
});

/** Runs a test of a function, beside it, and below this package so that it finds it. */
async function runTest(text: string, test: string): Promise<string> {
  const folder = await mkdtemp(fileURLToPath(new URL("example-", import.meta.url)));
  try {
    await writeFile(`${folder}/index.js`, text);
    await writeFile(`${folder}/test.js`, `${test}\nconsole.log(await response.text());`);
    const args = ["--conditions=firn-source", `${folder}/test.js`];
    return (await promisify(execFile)(process.execPath, args)).stdout;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

it("the forms of functions in the docs answer", async () => {
  const [web = "", event = "", callback = "", streaming = "", order = "", hooks = "", ...rest] =
    await examplesOf("../../../docs/functions.md");
  expect(rest).toEqual([]);
  await using fetching = await RuntimeProcess.load(web);
  expect(textOf(await fetching.request("GET", "/"))).toBe("hello");
  for (const [entry, text, handler, answer] of [
    ["index.mjs", event, "handler", { greeting: "Hello, Ada!" }],
    ["index.cjs", callback, "handler", "done"],
  ] as const) {
    await using handling = await RuntimeProcess.start({ [entry]: text });
    handling.loadFunction({ entry, handler });
    await handling.next("functionReady");
    expect(await handling.call({ name: "Ada" })).toEqual(answer);
  }
  await using writing = await RuntimeProcess.load(streaming);
  expect(textOf(await writing.request("GET", "/"))).toBe("firstlast");
  await using ordering = await RuntimeProcess.load(
    `${order}\nconst sent = []; const book = (event) => event; const sendMail = (receipt) => sent.push(receipt);
    export const mails = () => sent;`,
    { handler: "order" },
  );
  for (const rehearsal of [true, false]) {
    const call = {
      type: "invoke",
      timeoutMs: 5000,
      kind: "event",
      payload: Buffer.from(`${rehearsal}`),
    } as const;
    ordering.send({ ...call, id: rehearsal ? 100 : 101, requestId: "r", rehearsal });
    await ordering.next("invokeResult");
  }
  ordering.loadFunction({ handler: "mails" });
  await ordering.next("functionReady");
  expect(await ordering.call()).toEqual([false]);
  const readme = await examplesOf("../../../README.md");
  expect(readme).toHaveLength(1);
  for (const text of [hooks, ...readme]) await expectHooks(text);
});

/** What an example with hooks calls, and the hooks' order. */
async function expectHooks(text: string): Promise<void> {
  const given = `
    const calls = [];
    const render = () => calls.push("render"), sample = {};
    const pool = { end: () => calls.push("end"), reconnect: () => calls.push("reconnect") };
    globalThis.calls = calls;`;
  const handler = text.includes("export default") ? "" : "export default () => {};";
  await using runtime = await RuntimeProcess.load(
    `${text}\n${given}\n${handler}
    export const seen = () => calls;`,
    { handler: "seen" },
  );
  expect(await runtime.call()).toEqual(["render"]);
  await runtime.quiesce();
  await runtime.resume();
  const end = text.includes("beforeSnapshot(") ? ["end"] : [];
  expect(await runtime.call()).toEqual(["render", ...end, "reconnect"]);
}
