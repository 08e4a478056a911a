import { describe, expect, it } from "vitest";
import { type FunctionRecord, loadMessage } from "./function-record.ts";

const environment = { TZ: "Europe/Zurich", SECRET: "xyzzy" };
const record = { name: "hello", environment, snapshotEnvironment: false } as unknown as FunctionRecord;

describe("loadMessage()", () => {
  it("carries no variable into the snapshot but those that count when the code is loaded", () => {
    expect(loadMessage(record, ["TZ", "LANG"]).environment).toEqual({ TZ: "Europe/Zurich" });
    expect(loadMessage(record, []).environment).toEqual({});
  });

  it("carries all of them if the function asks for that", () => {
    expect(loadMessage({ ...record, snapshotEnvironment: true }, []).environment).toEqual(environment);
  });
});
