import { fork } from "node:child_process";
import { randomBytes, randomInt, randomUUID } from "node:crypto";
import dns from "node:dns/promises";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { deferReady, ready, warmUp } from "@firn/guest";

const importedAt = Date.now();

// A server, and two kinds of pooled connections to it, whose both ends are in the snapshot.
const server = http.createServer((_request, response) => response.end("pong")).listen(0, "127.0.0.1");
// A slow host must not come too late for a connection that the server still keeps.
server.keepAliveTimeout = 3_600_000;
await once(server, "listening");
const url = `http://127.0.0.1:${server.address().port}/`;
const agent = new http.Agent({ keepAlive: true });
const byAgent = () =>
  new Promise((resolve, reject) => {
    http
      .get(url, { agent }, (response) => response.on("end", () => resolve(response.statusCode)).resume())
      .on("error", reject);
  });
const ping = async () => [await (await fetch(url)).text(), await byAgent()];
warmUp(ping);

// Timers that were set before the snapshot.
let ticks = 0;
setInterval(() => {
  ticks += 1;
}, 1000);
const day = AbortSignal.timeout(24 * 3_600_000);

// A thread that was started before the snapshot.
const worker = new Worker(
  `const { parentPort } = require("node:worker_threads"); const c = require("node:crypto");
  parentPort.on("message", () => parentPort.postMessage([c.randomUUID(), c.randomBytes(8).toString("hex"), Math.random()]));`,
  { eval: true },
);
const askWorker = () => {
  const answer = once(worker, "message");
  worker.postMessage("draw");
  return answer;
};
// A process that was forked before the snapshot.
const child = fork(new URL("./child.mjs", import.meta.url));
const askChild = () => {
  const answer = once(child, "message");
  child.send("draw");
  return answer;
};
deferReady();
Promise.all([askWorker(), askChild()]).then(ready);

const failure = (work) =>
  work().then(
    (value) => `no failure: ${value}`,
    (error) => error.cause?.code ?? error.code,
  );

const operations = {
  random: async () => {
    const [[uuid, bytes, math]] = await askWorker();
    const [[childUuid, childBytes, childMath]] = await askChild();
    return {
      ...{
        uuid: randomUUID(),
        bytes: randomBytes(8).toString("hex"),
        int: randomInt(2 ** 40),
        math: Math.random(),
      },
      ...{ workerUuid: uuid, workerBytes: bytes, workerMath: math },
      ...{ childUuid, childBytes, childMath, hostname: hostname() },
    };
  },
  clocks: async () => {
    const header = Date.parse((await fetch(url)).headers.get("date"));
    const now = Date.now();
    return {
      ...{ now, sinceImport: now - importedAt, dateHeaderSkew: header - now },
      performanceSkew: performance.timeOrigin + performance.now() - now,
    };
  },
  timers: async () => {
    const first = ticks;
    const began = performance.now();
    await sleep(3000);
    return { first, during: ticks - first, slept: performance.now() - began, aborted: day.aborted };
  },
  ping: async () => ({ answers: await ping() }),
  network: async () => ({
    lookup: await failure(() => dns.lookup("example.com")),
    fetch: await failure(() => fetch("http://10.1.2.3/")),
    connect: await failure(() => once(net.connect(443, "192.0.2.1"), "connect")),
    localhost: await (await fetch(url.replace("127.0.0.1", "localhost"))).text(),
  }),
};

export const handler = ({ operation }) => operations[operation]();
