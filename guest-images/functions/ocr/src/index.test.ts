import { expect, it } from "vitest";

it("the bundle reads a picture, from files of its own folder alone", async () => {
  // @ts-expect-error It is built.
  const { handler } = (await import("../dist/index.js")) as {
    handler: (event: object) => Promise<{ text: string; confidence: number }>;
  };
  expect(await handler({})).toEqual({ text: "Firn is old snow", confidence: expect.any(Number) });
}, 60_000);
