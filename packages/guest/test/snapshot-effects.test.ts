import { describe, expect, it } from "vitest";
import { keepTimeOrigin } from "../src/runtime/uniqueness/time-origin.ts";
import { RuntimeProcess } from "./runtime-process.ts";

/** What is said at deploy of a function with this text. */
async function outputAtDeploy(text: string, event?: unknown): Promise<string> {
  await using runtime = await RuntimeProcess.load(text);
  if (event !== undefined) await runtime.invoke(event);
  await runtime.quiesce();
  await runtime.resume();
  await runtime.call();
  return runtime.output;
}

describe("random values that are drawn before the snapshot", () => {
  it("are told at deploy, with who drew them and what to do", async () => {
    const output =
      await outputAtDeploy(`import crypto, { getRandomValues, randomBytes, randomUUID } from "node:crypto";
      import { warmUp } from "@firn/guest";
      const pool = getRandomValues(new Uint8Array(1536));
      const id = randomUUID();
      let counter = Math.floor(Math.random() * 0xffffff);
      warmUp(async () => { await 1; randomBytes(5) });
      globalThis.crypto.getRandomValues(new Uint8Array(4));
      globalThis.crypto.subtle.generateKey({ name: "AES-GCM", length: 128 }, true, ["encrypt"]);
      crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
      crypto.randomInt(5);
      export default () => pool.length + id + counter;`);
    expect(output).toContain("Warning: Random values were drawn before the snapshot");
    expect(output).not.toContain("index.js:3 ");
    for (const draw of [
      "4 (randomUUID)",
      "6 (randomBytes)",
      "7 (getRandomValues)",
      "8 (generateKey)",
      "9 (generateKeyPairSync)",
    ]) {
      expect(output).toContain(`index.js:${draw}`);
    }
    expect(output).toContain("index.js:10 (randomInt)");
    expect(output).toContain("index.js:5 (Math.random)");
    expect(output).toContain("afterRestore()");
    expect(output).not.toContain("src/runtime");
  });

  it("are told with the file of the library that drew them", async () => {
    await using runtime = await RuntimeProcess.start({
      "node_modules/short-id/index.cjs": `
        const { webcrypto } = require("node:crypto");
        const seed = webcrypto.getRandomValues(Buffer.allocUnsafe(12));
        module.exports = () => seed.toString("hex", 0, 8);`,
      "node_modules/short-id/package.json": '{"main":"index.cjs"}',
      "index.cjs": "const id = require('short-id'); exports.handler = async () => id()",
    });
    runtime.loadFunction({ entry: "index.cjs" });
    await runtime.next("functionReady");
    await runtime.quiesce();
    expect(runtime.output).toContain("node_modules/short-id/index.cjs:3 (getRandomValues)");
  });

  it("are told when a request before the snapshot drew them", async () => {
    const text = `import { randomUUID } from "node:crypto"; let id; export default () => id ??= randomUUID()`;
    expect(await outputAtDeploy(text, {})).toContain("index.js:1 (randomUUID)");
  });

  it("are not told of when there are none, or when they are drawn after the restore", async () => {
    const output =
      await outputAtDeploy(`import { randomUUID } from "node:crypto"; import { afterRestore } from "@firn/guest";
      import http from "node:http"; let id; afterRestore(() => { id = randomUUID() });
      const server = http.createServer((_, response) => response.end()).listen(0, "127.0.0.1");
      await new Promise((resolve) => server.once("listening", resolve));
      await (await fetch("http://127.0.0.1:" + server.address().port)).text();
      export default () => id + Math.random();`);
    expect(output).toBe("");
  });

  it("leave stacks as the function prepares them", async () => {
    await using runtime = await RuntimeProcess.load(`
      Error.prepareStackTrace = (error, sites) => "prepared " + sites.length;
      Error.stackTraceLimit = 1;
      Math.random();
      export default () => [new Error().stack, Error.stackTraceLimit];`);
    expect(await runtime.call()).toEqual(["prepared 1", 1]);
  });

  it("cost nothing when there are very many of them", async () => {
    const output = await outputAtDeploy(
      "let sum = 0; for (let n = 0; n < 2_000_000; n++) sum += Math.random(); export default () => sum",
    );
    expect(output.match(/Math\.random/g)).toHaveLength(1);
  });
});

describe("large buffers of random bytes from before the snapshot", () => {
  it("are filled anew at the resume, and what is smaller is left alone", async () => {
    await using runtime = await RuntimeProcess.load(`
      import { getRandomValues, randomBytes, randomFillSync } from "node:crypto";
      const pools = [getRandomValues(Buffer.allocUnsafe(1536)), randomFillSync(new Uint32Array(64)), randomBytes(256)];
      const key = randomBytes(32);
      const text = (pool) => Buffer.from(pool.buffer, pool.byteOffset, pool.byteLength).toString("hex");
      export default () => [...pools, key].map(text);`);
    const before = (await runtime.call()) as string[];
    await runtime.quiesce();
    await runtime.resume();
    const after = (await runtime.call()) as string[];
    expect(after.map((value, index) => value !== before[index])).toEqual([true, true, true, false]);
    expect(after.map(({ length }) => length)).toEqual(before.map(({ length }) => length));
    expect(runtime.output).toContain("index.js:4 (randomBytes)");
    expect(runtime.output).not.toContain("index.js:3");
  });

  it("are left alone, and told of, when they are too large for a pool; and what was given away breaks nothing", async () => {
    await using runtime = await RuntimeProcess.load(`
      import { randomBytes, randomFillSync } from "node:crypto";
      const data = randomBytes(65_537);
      const gone = [randomFillSync(new Uint8Array(256)), randomFillSync(new DataView(new ArrayBuffer(256)))];
      for (const { buffer } of gone) structuredClone(buffer, { transfer: [buffer] });
      export default () => data.toString("hex", 0, 16);`);
    const before = await runtime.call();
    await runtime.quiesce();
    await runtime.resume();
    expect(await runtime.call()).toBe(before);
    expect(runtime.output).toContain("index.js:3 (randomBytes)");
  });

  it("are filled anew however many there are", async () => {
    await using runtime = await RuntimeProcess.load(`
      import { randomBytes } from "node:crypto";
      const pools = Array.from({ length: 5000 }, () => randomBytes(128));
      const before = pools.map((pool) => pool.toString("hex"));
      export default () => pools.filter((pool, index) => pool.toString("hex") === before[index]).length;`);
    expect(await runtime.call()).toBe(5000);
    await runtime.quiesce();
    await runtime.resume();
    expect(await runtime.call()).toBe(0);
  });
});

describe("startupSnapshot of node:v8", () => {
  it("tells libraries of the snapshot", async () => {
    await using runtime = await RuntimeProcess.load(`
      import v8 from "node:v8";
      const { startupSnapshot } = process.getBuiltinModule("v8");
      const log = [v8.startupSnapshot.isBuildingSnapshot()];
      startupSnapshot.addSerializeCallback((data) => log.push("before " + data), "one");
      startupSnapshot.addDeserializeCallback((data) => log.push("after " + data), "two");
      let refused;
      try { startupSnapshot.setDeserializeMainFunction(() => {}) } catch (error) { refused = error.message }
      export default () => [...log, startupSnapshot.isBuildingSnapshot(), refused];`);
    const refused = expect.stringContaining("export a handler");
    expect(await runtime.call()).toEqual([true, true, refused]);
    await runtime.quiesce();
    await runtime.resume();
    expect(await runtime.call()).toEqual([true, "before one", "after two", false, refused]);
  });
});

describe("performance.timeOrigin", () => {
  it("moves so that it and performance.now() together are the time, and stands still otherwise", () => {
    const prototype = Object.getPrototypeOf(performance);
    const before = Object.getOwnPropertyDescriptors(prototype);
    const realClock = Date.now;
    let ahead = 0;
    try {
      // As after some time on a shelf: the wall clock is ahead, and performance.now() stood still.
      Date.now = () => realClock() + ahead;
      keepTimeOrigin();
      const origin = performance.timeOrigin;
      for (ahead of [90_000, 3_600_000, -5000]) {
        expect(Math.abs(performance.timeOrigin - origin - ahead)).toBeLessThan(1000);
        expect(performance.timeOrigin).toBe(performance.timeOrigin);
        expect(performance.toJSON().timeOrigin).toBe(performance.timeOrigin);
      }
    } finally {
      Date.now = realClock;
      Object.defineProperties(prototype, before);
    }
  });

  it("does so in the runtime and in its worker threads", async () => {
    await using runtime = await RuntimeProcess.load(`
      import { Worker } from "node:worker_threads";
      import { once } from "node:events";
      const source = "Object.getOwnPropertyDescriptor(Object.getPrototypeOf(performance), 'timeOrigin').get.toString().includes('[native code]')";
      const own = eval(source);
      export default async () => {
        const worker = new Worker("require('node:worker_threads').parentPort.postMessage(" + source + ")", { eval: true });
        let refused;
        try { Object.getPrototypeOf(performance).timeOrigin } catch (error) { refused = error.code }
        return [own, (await once(worker, "message"))[0], refused];
      }`);
    expect(await runtime.call()).toEqual([false, false, "ERR_INVALID_THIS"]);
  });
});
