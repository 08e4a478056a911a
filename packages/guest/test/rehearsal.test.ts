import { describe, expect, it } from "vitest";
import { RuntimeProcess, textOf } from "./runtime-process.ts";

const CALL = { type: "invoke", requestId: "r", timeoutMs: 5000 } as const;

it.each([
  ["event", "export const handler = (event, context) => context.rehearsal"],
  ["event", "export default async (request, context) => new Response(String(context.rehearsal))"],
  ["http", "export default { fetch: (request, env, context) => new Response(String(context.rehearsal)) }"],
] as const)("the context of an %s tells whether it is a rehearsal: %s", async (kind, code) => {
  await using runtime = await RuntimeProcess.load(code);
  const call = { ...CALL, kind, payload: Buffer.alloc(0), method: "GET", url: "http://function/" };
  runtime.send({ ...call, id: 100, rehearsal: true });
  expect(textOf(await runtime.next("invokeResult"))).toBe("true");
  runtime.send({ ...call, id: 101 });
  expect(textOf(await runtime.next("invokeResult"))).toBe("false");
});

it("a fetch handler gets the environment", async () => {
  await using runtime = await RuntimeProcess.load(
    "export default { fetch: (request, env) => new Response(String(env === process.env)) }",
  );
  expect(textOf(await runtime.request("GET", "/"))).toBe("true");
});

describe("random numbers that a rehearsal draws", () => {
  const code = `
    import { randomUUID, randomBytes } from "node:crypto";
    let secret, seed;
    const early = randomBytes(16);
    export const handler = async ({ seeded }, context) => {
      secret ??= randomBytes(16);
      if (seeded) seed ??= Math.random();
      const id = randomUUID();
      return [secret, early, id, Math.random()];
    };`;

  async function warningsAfter(rehearsals: readonly { requestId: string; event: unknown }[]) {
    await using runtime = await RuntimeProcess.load(code);
    for (const [index, { requestId, event }] of rehearsals.entries()) {
      const payload = Buffer.from(JSON.stringify(event));
      runtime.send({ ...CALL, id: 100 + index, requestId, kind: "event", payload, rehearsal: true });
      await runtime.next("invokeResult");
    }
    await runtime.quiesce();
    return [...runtime.output.matchAll(/index\.js:(\d+)/g)].map(([, line]) => Number(line));
  }

  it("are told of if they are kept, and not if each request draws its own", async () => {
    const round = [
      { requestId: "sample-1", event: {} },
      { requestId: "sample-2", event: { seeded: true } },
    ];
    expect(await warningsAfter([...round, ...round, ...round])).toEqual([4, 6, 7]);
  });

  it("are told of if there was one rehearsal, which shows nothing", async () => {
    expect(await warningsAfter([{ requestId: "sample-1", event: {} }])).toEqual([4, 6, 8, 9]);
  });
});
