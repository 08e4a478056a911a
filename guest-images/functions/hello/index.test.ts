import { expect, it } from "vitest";
import hello from "./index.js";

it("hello() greets whom the event or the query names", async () => {
  expect(await hello({})).toEqual({ greeting: "Hello, world!" });
  expect(await hello({ name: "firn" })).toEqual({ greeting: "Hello, firn!" });
  expect(await hello({ queryStringParameters: { name: "ice" } })).toEqual({ greeting: "Hello, ice!" });
});

it("hello() shows random values, the date and a count when asked for", async () => {
  const first = await hello({ show: "random" });
  const second = await hello({ show: "random" });
  for (const source of ["uuid", "randomBytes", "mathRandom"] as const) {
    expect((first as Record<string, unknown>)[source]).not.toBe((second as Record<string, unknown>)[source]);
  }
  expect(Math.abs(Date.parse((second as { date: string }).date) - Date.now())).toBeLessThan(5000);
  expect((second as { invocations: number }).invocations).toBe(
    (first as { invocations: number }).invocations + 1,
  );
});
