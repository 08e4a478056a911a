import { describe, expect, it } from "vitest";
import { ADDON, RuntimeProcess } from "./runtime-process.ts";

// Two processes with the same state cannot be had without snapshots, but one resumed twice with the same seed shows what depends
// on the seed, and one that is resumed shows what was drawn before.
const draw = `
  import crypto, { randomInt, randomUUID } from "node:crypto";
  export default ({ count = 1 }) => Array.from({ length: count }, () => ({
    mathRandom: Math.random(),
    nodeUuid: randomUUID(),
    webUuid: globalThis.crypto.randomUUID(),
    randomInt: randomInt(2 ** 47),
    randomBytes: crypto.randomBytes(16).toString("hex"),
    getRandomValues: crypto.getRandomValues(new Uint32Array(2)).join(),
  }));`;

type Draw = Record<string, unknown>;

describe("random numbers", () => {
  it("are never drawn twice from any source over several resumes", async () => {
    await using runtime = await RuntimeProcess.load(draw);
    const seen = new Map<string, Set<unknown>>();
    for (let resume = 0; resume < 3; resume++) {
      for (const values of (await runtime.call({ count: 300 })) as Draw[]) {
        for (const [source, value] of Object.entries(values)) {
          const drawn = seen.get(source) ?? new Set();
          seen.set(source, drawn.add(value));
        }
      }
      await runtime.quiesce();
      await runtime.resume();
    }
    expect([...seen.values()].map((drawn) => drawn.size)).toEqual(Array(6).fill(900));
  });

  it("of Math.random follow from the entropy of the resume alone", async () => {
    await using runtime = await RuntimeProcess.load("export default () => [Math.random(), Math.random()]");
    const drawAfter = async (entropy: Uint8Array) => {
      await runtime.quiesce();
      await runtime.resume(entropy);
      return runtime.call();
    };
    const one = Uint8Array.from({ length: 64 }, (_, index) => index);
    const other = one.with(63, 0);
    const first = await drawAfter(one);
    expect(await drawAfter(one)).toEqual(first);
    expect(await drawAfter(other)).not.toEqual(first);
  });

  it("keep the manners of Node's own functions", async () => {
    await using runtime = await RuntimeProcess.load(`
      import { randomInt, randomUUID } from "node:crypto";
      import { promisify } from "node:util";
      const codeOf = (work) => { try { return work() } catch (error) { return error.code } };
      export default async () => ({
        name: Math.random.name + randomUUID.name,
        enumerable: Object.keys(Math).length,
        below: Array.from({ length: 200 }, () => randomInt(3)).every((value) => [0, 1, 2].includes(value)),
        between: randomInt(-5, -4),
        later: await new Promise((resolve) => randomInt(7, 8, (error, value) => resolve([error, value]))),
        wrongRange: codeOf(() => randomInt(5, 5)),
        wrongType: codeOf(() => randomInt("5")),
        wrongOptions: codeOf(() => randomUUID(5)),
        wrongThis: codeOf(() => crypto.randomUUID.call({})),
        version: crypto.randomUUID()[14],
      })`);
    expect(await runtime.call()).toEqual({
      name: "randomrandomUUID",
      enumerable: 0,
      below: true,
      between: -5,
      later: [null, 7],
      wrongRange: "ERR_OUT_OF_RANGE",
      wrongType: "ERR_INVALID_ARG_TYPE",
      wrongOptions: "ERR_INVALID_ARG_TYPE",
      wrongThis: "ERR_INVALID_THIS",
      version: "4",
    });
  });
});

describe("a worker thread", () => {
  it("draws no random number while the main thread waits at the gate, and goes on after it", async () => {
    await using runtime = await RuntimeProcess.load(`
      import { once } from "node:events";
      import { Worker } from "node:worker_threads";
      const source = \`
        const { writeSync } = require("node:fs");
        setInterval(() => { Math.random(); writeSync(1, "drawn ") }, 1);
      \`;
      const worker = new Worker(source, { eval: true });
      await once(worker, "online");
      export default () => worker instanceof Worker;`);
    const grows = async () => {
      const before = runtime.output.length;
      await new Promise((resolve) => setTimeout(resolve, 300));
      return runtime.output.length > before;
    };
    expect(await runtime.call()).toBe(true);
    expect(await grows()).toBe(true);
    await runtime.quiesce();
    // What was under way arrives.
    await grows();
    expect(await grows()).toBe(false);
    await runtime.resume();
    expect(await grows()).toBe(true);
  });

  it("has the SDK and uncached ids, whatever its source is", async () => {
    await using runtime = await RuntimeProcess.load(`
      import { once } from "node:events";
      import { writeFileSync } from "node:fs";
      import { Worker } from "node:worker_threads";
      const source = "require('node:worker_threads').parentPort.postMessage(" +
        "[typeof require('@firn/guest').ready, require('node:crypto').randomUUID.toString().includes('disableEntropyCache: true')])";
      writeFileSync("worker.cjs", source);
      export default async ({ text }) => {
        const worker = text ? new Worker(source, { eval: true }) : new Worker("./worker.cjs");
        return (await once(worker, "message"))[0];
      }`);
    for (const text of [true, false]) expect(await runtime.call({ text })).toEqual(["function", true]);
  });
});

describe("a forked process", () => {
  /** Answers with how often it has taken a new seed from the kernel, after it has drawn what the message names. */
  const child = `
    const fs = require("node:fs");
    const crypto = require("node:crypto");
    let seeds = 0;
    const { openSync } = fs;
    fs.openSync = (path, ...rest) => {
      if (path === "/dev/urandom") seeds += 1;
      return openSync(path, ...rest);
    };
    require("node:module").syncBuiltinESMExports();
    const draws = {
      math: () => Math.random(),
      uuid: () => crypto.randomUUID(),
      web: () => globalThis.crypto.getRandomValues(new Uint8Array(4)),
      int: () => crypto.randomInt(9),
      bytes: () => crypto.randomBytes(8),
      key: () => crypto.generateKeyPairSync("ed25519"),
    };
    process.on("message", (name) => { draws[name](); process.send([seeds, typeof require("@firn/guest").ready]) });`;
  const parent = `
    import { fork } from "node:child_process";
    import { once } from "node:events";
    import { writeFileSync } from "node:fs";
    const generation = (number) => writeFileSync("generation", new Uint32Array([number]));
    generation(0);
    process.env.FIRN_GENERATION_FILE = process.cwd() + "/generation";
    process.env.FIRN_ADDON = ${JSON.stringify(ADDON)};
    const child = fork("./child.cjs");
    export default async ({ resumes, draw }) => {
      if (resumes !== undefined) generation(resumes);
      child.send(draw);
      return (await once(child, "message"))[0];
    };`;

  it("takes a new seed before the first draw of each generation, whatever draws", async () => {
    await using runtime = await RuntimeProcess.start({
      "package.json": '{"type":"module"}',
      "child.cjs": child,
      "index.js": parent,
    });
    runtime.loadFunction({ entry: "index.js" });
    await runtime.next("functionReady");
    expect(await runtime.call({ draw: "math" })).toEqual([0, "function"]);
    let resumes = 0;
    for (const draw of ["math", "uuid", "web", "int", "bytes", "key"]) {
      resumes += 1;
      expect(await runtime.call({ resumes, draw })).toEqual([resumes, "function"]);
      expect(await runtime.call({ draw })).toEqual([resumes, "function"]);
    }
  });
});

it("the Date header of an HTTP server is not the one that was cached before the snapshot", async () => {
  await using runtime = await RuntimeProcess.load(`
    import { createServer } from "node:http";
    import { once } from "node:events";
    const server = createServer((_, response) => response.end()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = "http://127.0.0.1:" + server.address().port;
    export default async () => {
      const before = Date.now();
      const date = (await fetch(url)).headers.get("date");
      return Date.parse(date) >= Math.floor(before / 1000) * 1000;
    }`);
  expect(await runtime.call()).toBe(true);
  await runtime.quiesce();
  // Time goes by in the real world, none for the timers of a clone: here at least the loop stands still.
  await new Promise((resolve) => setTimeout(resolve, 1200));
  await runtime.resume();
  expect(await runtime.call()).toBe(true);
});
