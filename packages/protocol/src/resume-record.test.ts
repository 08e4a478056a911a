import { expect, it } from "vitest";
import { createResumeRecord } from "./resume-record.ts";

it("createResumeRecord() returns fresh bytes and the wall clock when called again and again", () => {
  const records = Array.from({ length: 200 }, createResumeRecord);
  const drawn = new Set(
    records.flatMap((record) => [record.generation, record.entropy].map((b) => b.join())),
  );
  expect(drawn.size).toBe(400);
  for (const record of records) {
    expect(record.generation).toHaveLength(16);
    expect(record.entropy).toHaveLength(64);
    expect(record.clockNanoseconds).toBeGreaterThanOrEqual(0);
    expect(record.clockNanoseconds).toBeLessThan(1_000_000_000);
    const milliseconds = record.clockSeconds * 1000 + record.clockNanoseconds / 1e6;
    expect(Math.abs(milliseconds - Date.now())).toBeLessThan(1000);
  }
});
