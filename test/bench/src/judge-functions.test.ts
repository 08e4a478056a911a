import { expect, it } from "vitest";
import { type FunctionReport, functionTable, judgeFunctions } from "./judge-functions.ts";

const cost = (milliseconds: number) => ({
  milliseconds,
  faults: 100,
  kvmExits: 7,
  bytesCopied: 3 * 2 ** 20,
  privateBytes: 4 * 2 ** 20,
});
const report = (samples: boolean, cold: number): FunctionReport => ({
  ...{ name: "example", samples, diffBytes: 2 ** 20 },
  ...{ first: cost(100), cold: cost(cold), warm: cost(10) },
});

it("a cold start may take three times as long as a warm one with samples, and five times without", () => {
  const reports = [report(true, 30), report(true, 31), report(false, 50), report(false, 51)];
  expect(judgeFunctions(reports).map(({ held, bar, measured }) => [held, bar, measured])).toEqual([
    [true, 3, 3],
    [false, 3, 3.1],
    [true, 5, 5],
    [false, 5, 5.1],
  ]);
});

it("the table has three rows a function", () => {
  const { header, rows } = functionTable([report(true, 30)]);
  expect(rows).toHaveLength(3);
  expect(rows[0]).toEqual([
    "example",
    "yes",
    "first cold",
    "100.0",
    "10.00",
    "100",
    "7",
    "3.0",
    "4.0",
    "1.0",
  ]);
  for (const row of rows) expect(row).toHaveLength(header.length);
});
