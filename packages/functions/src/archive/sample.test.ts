import { describe, expect, it } from "vitest";
import { readSamples, sampleRequest } from "./sample.ts";

describe("readSamples()", () => {
  it("reads events and requests, with defaults for what a request leaves out", () => {
    const samples = [{ event: { name: "Ada" } }, { event: null }, { http: { path: "/?width=3" } }];
    expect(readSamples({ firn: { samples } })).toEqual([
      { event: { name: "Ada" } },
      { event: null },
      { http: { method: "GET", path: "/?width=3", headers: {}, body: "" } },
    ]);
  });

  it.each([undefined, null, "text", {}, { firn: {} }])("finds none in %j", (packageJson) => {
    expect(readSamples(packageJson)).toEqual([]);
  });

  it.each([
    ["firn.samples in", "no list"],
    ["firn.samples.0 in", [{ events: {} }]],
    ["firn.samples.1.http.path in", [{ event: 1 }, { http: { path: "no-slash" } }]],
    ["firn.samples.0 in", [{ event: 1, http: {} }]],
    ["firn.samples in the app's package.json: are at most 8", Array(9).fill({ event: 1 })],
    ["longer than 262144 bytes", [{ event: "x".repeat(300_000) }]],
  ])("says %s for samples that are wrong", (message, samples) => {
    expect(() => readSamples({ firn: { samples } })).toThrow(
      expect.objectContaining({ code: "FIRN_APP_INVALID", message: expect.stringContaining(message) }),
    );
  });
});

describe("sampleRequest()", () => {
  const call = { requestId: "sample-1", timeoutMs: 3000 };

  it("is a rehearsal", () => {
    expect(sampleRequest({ event: 1 }, call).rehearsal).toBe(true);
  });

  it("makes an event of a sample's event", () => {
    const { payload, ...rest } = sampleRequest({ event: { name: "Ada" } }, call);
    expect(Buffer.from(payload).toString()).toBe('{"name":"Ada"}');
    expect(rest).toMatchObject(call);
  });

  it("makes a request of a sample's request", () => {
    const [sample] = readSamples({
      firn: {
        samples: [{ http: { method: "POST", path: "/a?b=1", headers: { accept: "*/*" }, body: "x" } }],
      },
    });
    if (sample === undefined) throw new Error("no sample");
    expect(sampleRequest(sample, call)).toMatchObject({
      ...call,
      payload: Buffer.from("x"),
      http: { method: "POST", url: "http://localhost/a?b=1", headers: [{ name: "accept", value: "*/*" }] },
    });
  });
});
