import { expect, it } from "vitest";
import { handler } from "./index.js";

it("handler() makes the same text from the same seed, and as many paragraphs as asked for", async () => {
  const [one, same, other] = await Promise.all([7, 7, 8].map((seed) => handler({ paragraphs: 3, seed })));
  expect(one).toEqual(same);
  expect(one?.text).not.toBe(other?.text);
  expect(one?.text.split("\n\n")).toHaveLength(3);
  expect(one?.words).toBe(one?.text.split(/\s+/).length);
  expect(one?.text).toMatch(/^[A-Z][a-z ]+\. /);
});

it.each([0, 1001, 1.5, "2"])("handler() refuses %s paragraphs", async (paragraphs) => {
  await expect(handler({ paragraphs } as { paragraphs: number })).rejects.toThrow(RangeError);
});
