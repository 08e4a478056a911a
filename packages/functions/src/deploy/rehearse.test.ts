import type { InvokeRequest, InvokeResponse } from "@firn/snapshots";
import { describe, expect, it } from "vitest";
import { sampleRequests } from "./ask-sample.ts";
import { describeRehearsal, rehearse } from "./rehearse.ts";

const requests = sampleRequests([{ event: 1 }, { event: 2 }], 3000);

function answer(durationMs: number, functionError = ""): InvokeResponse {
  const report = { durationMs, billedDurationMs: 1, maxMemoryUsedMib: 0 };
  return {
    status: 200,
    headers: [],
    payload: Buffer.from(functionError === "" ? "1" : '{"errorMessage":"taken"}'),
    functionError,
    report: { ...report, initDurationMs: undefined, restoreDurationMs: undefined },
  };
}

describe("rehearse()", () => {
  it("asks for each sample in each round, and for no more once that gets no faster", async () => {
    const asked: InvokeRequest[] = [];
    const rounds = await rehearse(
      async (request) => {
        asked.push(request);
        return answer(asked.length < 7 ? 50 : 20);
      },
      requests,
      60_000,
    );
    expect(rounds).toEqual([100, 100, 100, 40, 40, 40, 40, 40]);
    expect(asked.map(({ requestId, rehearsal }) => [requestId, rehearsal])).toEqual(
      rounds.flatMap(() => [
        ["sample-1", true],
        ["sample-2", true],
      ]),
    );
    expect(describeRehearsal(rounds)).toContain(
      "8 times before the snapshot: in 100.0 ms at first, in 40.0 ms",
    );
  });

  it("ends after twenty rounds, however much faster it gets", async () => {
    let duration = 1e9;
    const halved = async () => {
      duration /= 2;
      return answer(duration);
    };
    const rounds = await rehearse(halved, requests, 60_000);
    expect(rounds).toHaveLength(20);
  });

  it("begins no round when its time is up, but the first", async () => {
    expect(await rehearse(async () => answer(5), requests, 0)).toEqual([10]);
  });

  it("says which sample failed, when, and what to do", async () => {
    let calls = 0;
    const failing = (from: number) => async () => answer(1, ++calls < from ? "" : "Unhandled");
    const first = rehearse(failing(2), requests, 60_000);
    await expect(first).rejects.toMatchObject({
      code: "FIRN_FUNCTION_SAMPLE",
      message: 'The function failed at sample 2 of its package.json: {"errorMessage":"taken"}',
    });
    calls = 0;
    const second = rehearse(failing(3), requests, 60_000);
    await expect(second).rejects.toMatchObject({
      code: "FIRN_FUNCTION_SAMPLE",
      message: expect.stringMatching(/sample 1 .*asked for the 2nd time.*taken.*context\.rehearsal/),
    });
  });
});
