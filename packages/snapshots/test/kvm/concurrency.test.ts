import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { type GuestLogLine, Machine, readRuntime } from "../../src/index.ts";
import { fromEnvironment } from "./environment.ts";

/** Answers once as many requests as it is told are there, each with its own name. */
const FUNCTION = `
  const waiting = [];
  export const handler = async ({ name, together }) => {
    console.log("came " + name);
    await new Promise((resolve) => {
      waiting.push(resolve);
      if (waiting.length === together) for (const go of waiting.splice(0)) go();
    });
    if (name === "bad") throw new RangeError("of bad alone");
    console.log("goes " + name);
    return { name };
  };
  /** Writes until it is told to end, and says how much that was. */
  const ends = new Map();
  export const streams = { async fetch(request) {
    const name = new URL(request.url).pathname.slice(1);
    if (request.method === "POST") { ends.get(name)(); return new Response("told"); }
    console.log("begins " + name);
    let ended = false;
    let written = 0;
    const told = new Promise((resolve) => ends.set(name, resolve)).then(() => { ended = true; });
    return new Response(new ReadableStream({ async pull(controller) {
      if (!ended && written < 4_000_000) {
        await new Promise(setImmediate);
        written += 50_000;
        return controller.enqueue(Buffer.alloc(50_000, name[0]));
      }
      await told;
      if (name === "bad") throw new RangeError("of bad alone");
      console.log("ends " + name);
      controller.enqueue(Buffer.from("written " + written));
      controller.close();
    } }));
  } };`;

it("an instance serves several requests at once: answers, streams, errors and lines belong to theirs", async () => {
  // On a disk: memory layers are large, and /tmp may be memory.
  const folder = await mkdtemp("/var/tmp/firn-concurrency-test-");
  try {
    await mkdir(join(folder, "app"));
    await writeFile(join(folder, "app", "index.mjs"), FUNCTION);
    const appPath = join(folder, "app.erofs");
    execFileSync("mkfs.erofs", [appPath, join(folder, "app")], { stdio: "ignore" });
    const runtime = await readRuntime(join(fromEnvironment("FIRN_GUEST_RUNTIMES"), "node24"));
    const kernelPath = fromEnvironment("FIRN_GUEST_KERNEL");
    await using machine = await Machine.open(join(folder, "store"), { kernelPath, runtimes: [runtime] });
    const load = { entry: "index.mjs", handler: "handler", functionName: "together", memoryMib: 256 };
    await machine.createDiff(runtime.name, {
      memoryBytes: 256 << 20,
      appPath,
      load: { ...load, environment: {}, readyTimeoutMs: 60_000 },
      tag: "together",
    });

    const lines: GuestLogLine[] = [];
    await using instance = await machine.start("together", {
      concurrency: 3,
      onLog: (line) => lines.push(line),
    });
    const call = async (name: string, together: number) => {
      const payload = Buffer.from(JSON.stringify({ name, together }));
      const { functionError, payload: answer } = await instance.invoke({
        requestId: name,
        timeoutMs: 60_000,
        payload,
      });
      return { functionError, answer: JSON.parse(Buffer.from(answer).toString()) };
    };
    const three = ["one", "bad", "two"].map((name) => call(name, 3));
    assert.equal(instance.idle, false);
    await assert.rejects(call("four", 1), { code: "FIRN_INSTANCE_ENDED" });
    const [one, bad, two] = await Promise.all(three);
    assert.deepEqual(one, { functionError: "", answer: { name: "one" } });
    assert.deepEqual(two, { functionError: "", answer: { name: "two" } });
    assert.equal(bad?.functionError, "Unhandled");
    assert.deepEqual(
      { type: bad.answer.errorType, message: bad.answer.errorMessage },
      { type: "RangeError", message: "of bad alone" },
    );
    for (const name of ["one", "two"]) {
      const own = lines.filter(({ requestId }) => requestId === name).map(({ text }) => text);
      assert.deepEqual(own, [`came ${name}`, `goes ${name}`]);
    }
    // It goes on after the failure.
    assert.equal(instance.idle, true);
    assert.deepEqual((await call("last", 1)).answer, { name: "last" });

    await machine.createDiff(runtime.name, {
      memoryBytes: 256 << 20,
      appPath,
      load: { ...load, handler: "streams", environment: {}, readyTimeoutMs: 60_000 },
      tag: "streams",
    });
    await using streaming = await machine.start("streams", {
      concurrency: 3,
      onLog: (line) => lines.push(line),
    });
    const send = (method: string, name: string) =>
      streaming.invokeStream({
        requestId: `${method} ${name}`,
        timeoutMs: 60_000,
        payload: new Uint8Array(),
        http: { method, url: `http://function/${name}`, headers: [] },
      });
    // Both have begun, and nobody reads them: they stand still while a third request is served.
    const [good, broken] = await Promise.all([send("GET", "good"), send("GET", "bad")]);
    assert.equal(streaming.idle, true);
    for (const name of ["good", "bad"]) await (await send("POST", name)).whole();
    let text = "";
    for await (const piece of good.body) text += Buffer.from(piece).toString();
    const [, letters, written] = /^(g+)written (\d+)$/.exec(text) ?? [];
    assert.equal(letters?.length, Number(written));
    assert.ok(Number(written) < 1_000_000, `${written} bytes were written for nobody`);
    const readBroken = async () => {
      for await (const _ of broken.body);
    };
    await assert.rejects(readBroken(), { code: "FIRN_RESPONSE_BROKEN", message: /of bad alone/ });
    assert.equal((await broken.ended).errorType, "RangeError");
    assert.equal((await good.ended).functionError, "");
    const ofGood = lines.filter(({ requestId }) => requestId === "GET good").map(({ text: line }) => line);
    assert.deepEqual(ofGood, ["begins good", "ends good"]);
    assert.equal(streaming.usable, true);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
