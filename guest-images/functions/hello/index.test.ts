import { expect, it } from "vitest";
import hello from "./index.js";

it("hello() greets whom the event or the query names", async () => {
  expect(await hello({})).toEqual({ greeting: "Hello, world!" });
  expect(await hello({ name: "firn" })).toEqual({ greeting: "Hello, firn!" });
  expect(await hello({ queryStringParameters: { name: "ice" } })).toEqual({ greeting: "Hello, ice!" });
});

it("hello() shows random values, the date and a count when asked for", async () => {
  const began = Math.floor(Date.now() / 1000) * 1000;
  const first = await hello({ show: "random" });
  const second = await hello({ show: "random" });
  for (const source of ["uuid", "randomBytes", "mathRandom"] as const) {
    expect((first as Record<string, unknown>)[source]).not.toBe((second as Record<string, unknown>)[source]);
  }
  const date = Date.parse((second as { date: string }).date);
  expect(date).toBeGreaterThanOrEqual(began);
  expect(date).toBeLessThanOrEqual(Date.now());
  expect((second as { invocations: number }).invocations).toBe(
    (first as { invocations: number }).invocations + 1,
  );
});
