import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call, remove } from "./api.ts";
import { deployed } from "./folders.ts";

beforeAll(async () => {
  await deployed("answers", "answers");
});
afterAll(() => remove("answers"));

describe("a function's result as an answer of its URL", () => {
  it.each([
    ["/moved", 302],
    ["/plain", 200],
    ["/null", 404],
    ["/empty", 200],
  ])("%s has no body where the result has none", async (path, status) => {
    const answer = await call(`/url/answers${path}`, { redirect: "manual" });
    expect({ status: answer.status, bytes: answer.body.length }).toEqual({ status, bytes: 0 });
  });

  it("has the status that is meant, as a number or as text; what is none is the function's error", async () => {
    for (const [is, status] of [
      ["404", 404],
      ["302", 302],
      ["201", 201],
      ["abc", 502],
    ] as const) {
      const answer = await call(`/url/answers/status?is=${is}`, { redirect: "manual" });
      expect([is, answer.status]).toEqual([is, status]);
    }
  });

  it("leaves out headers that are undefined or null, and writes others as text", async () => {
    const { headers } = await call("/url/answers/undefined");
    expect([headers.has("x-a"), headers.has("x-b")]).toEqual([false, false]);
    expect([headers.get("x-n"), headers.get("x-t")]).toEqual(["5", "true"]);
  });

  it("keeps cookies apart, and the function's own Server-Timing", async () => {
    const { headers } = await call("/url/answers/cookies");
    expect(headers.getSetCookie()).toHaveLength(3);
    const timed = await call("/url/answers/timing");
    expect(timed.headers.get("server-timing")).toContain("db;dur=5");
  });

  it("is 502 with a header that HTTP cannot carry", async () => {
    expect((await call("/url/answers/unicode")).status).toBe(502);
  });
});

describe("a bare default function that returns a Response", () => {
  it("answers with that Response, or is refused with the reason", async () => {
    await deployed("bare-response", "bare-response");
    const { status, headers, body } = await call("/url/bare-response/some/path");
    await remove("bare-response");
    if (status >= 500) return expect(body.toString("utf8")).toMatch(/Response/);
    expect([status, headers.get("x-mine"), body.toString("utf8")]).toEqual([201, "1", "hi GET"]);
  });
});
