import { expect, it } from "vitest";
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
