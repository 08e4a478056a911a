import { describe, expect, it } from "vitest";
import { LogTail } from "./log-tail.ts";

const report = { durationMs: 1.234, memoryMib: 128 };
const decode = (base64: string) => Buffer.from(base64, "base64").toString("utf8");

describe("LogTail", () => {
  it("frames the function's lines as AWS does, without the agent's", () => {
    const tail = new LogTail("id");
    tail.add({ stream: "stdout", text: "hello" });
    tail.add({ stream: "agent", text: "inside" });
    tail.add({ stream: "stderr", text: "grüezi" });
    const start = { kind: "Restore" as const, milliseconds: 20.5 };
    expect(decode(tail.end({ ...report, maxMemoryMib: 64, start })).split("\n")).toEqual([
      "START RequestId: id Version: $LATEST",
      "hello",
      "grüezi",
      "END RequestId: id",
      "REPORT RequestId: id\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB\tRestore Duration: 20.50 ms",
      "",
    ]);
  });

  it.each([
    [
      "many lines",
      (tail: LogTail) => {
        for (let n = 0; n < 20_000; n += 1) tail.add({ stream: "stdout", text: `line ${n} é` });
      },
    ],
    ["one long line", (tail: LogTail) => tail.add({ stream: "stdout", text: "é".repeat(10_000) })],
    [
      "empty lines",
      (tail: LogTail) => {
        for (let n = 0; n < 20_000; n += 1) tail.add({ stream: "stdout", text: "" });
      },
    ],
  ])("of %s it gives the last 4 KiB in whole characters", (_, write) => {
    const tail = new LogTail("id");
    write(tail);
    const bytes = Buffer.from(tail.end(report), "base64");
    expect(bytes.length).toBeGreaterThan(4090);
    expect(bytes.length).toBeLessThanOrEqual(4096);
    const text = bytes.toString("utf8");
    expect(text).not.toContain("\ufffd");
    expect(text).toMatch(/\nEND RequestId: id\nREPORT RequestId: id\t.*\n$/);
  });
});
