import { networkInterfaces } from "node:os";
import { describe, expect, it } from "vitest";
import { RuntimeProcess } from "./runtime-process.ts";

/** What a deploy warns of. */
async function warningsOf(source: string): Promise<string> {
  await using runtime = await RuntimeProcess.load(source);
  await runtime.call();
  await runtime.quiesce();
  return runtime.output;
}

describe("a timer that runs at the snapshot", () => {
  it("is told of, with the line that started it", async () => {
    const output = await warningsOf(`const beat = () => {};
      setInterval(beat, 5000);
      setTimeout(beat, 60_000);
      export default async () => {
        setTimeout(beat, 7000);
      };`);
    expect(output).toContain("index.js:2 (setInterval, 5000 ms), index.js:3 (setTimeout, 60000 ms)");
    expect(output).toContain("index.js:5 (setTimeout, 7000 ms)");
    expect(output).toMatch(/^Warning: Timers run at the snapshot/);
  });

  it("is not told of when it was cleared, has fired, or holds nothing up", async () => {
    const output = await warningsOf(`
      import { setTimeout as later } from "node:timers/promises";
      import { promisify } from "node:util";
      clearInterval(setInterval(() => {}, 5000));
      setInterval(() => {}, 5000).unref();
      await later(1);
      await promisify(setTimeout)(1);
      export default async () => {};`);
    expect(output).toBe("");
  });

  it("is told of once however often one line starts it, and costs little", async () => {
    const output = await warningsOf(`
      for (let n = 0; n < 100_000; n++) setTimeout(() => {}, 90_000);
      export default async () => {};`);
    expect(output.match(/setTimeout/g)).toHaveLength(1);
  });
});

describe("a connection that is open at the snapshot", () => {
  const outside = Object.values(networkInterfaces())
    .flat()
    .find((address) => address?.family === "IPv4" && !address.internal)?.address;

  it.skipIf(outside === undefined)("is told of, with its other end and the line that opened it", async () => {
    const output = await warningsOf(`
      import net from "node:net";
      const server = net.createServer(() => {}).listen(0, "0.0.0.0");
      await new Promise((resolve) => server.once("listening", resolve));
      const open = net.connect(server.address().port, "${outside}");
      await new Promise((resolve) => open.once("connect", resolve));
      const closed = net.connect(server.address().port, "${outside}");
      await new Promise((resolve) => closed.once("connect", resolve));
      await new Promise((resolve) => closed.destroy().once("close", resolve));
      export default async () => {};`);
    expect(output).toMatch(/^Warning: Connections are open at the snapshot/);
    expect(output).toMatch(new RegExp(`: index.js:5 \\(${outside}:\\d+\\)\\. `));
  });

  it("is not told of when both ends are in the guest", async () => {
    const output = await warningsOf(`
      import net from "node:net";
      const server = net.createServer(() => {}).listen(0, "127.0.0.1");
      await new Promise((resolve) => server.once("listening", resolve));
      const open = net.connect(server.address().port, "127.0.0.1");
      await new Promise((resolve) => open.once("connect", resolve));
      export default async () => {};`);
    expect(output).toBe("");
  });
});
