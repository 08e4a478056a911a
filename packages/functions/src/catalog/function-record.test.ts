import { describe, expect, it } from "vitest";
import { type FunctionRecord, loadMessage } from "./function-record.ts";

const environment = { TZ: "Europe/Zurich", SECRET: "xyzzy" };
const settings = { snapshotEnvironment: false, server: null };
const record = { name: "hello", environment, ...settings } as unknown as FunctionRecord;

describe("loadMessage()", () => {
  it("carries no variable into the snapshot but those that count when the code is loaded", () => {
    expect(loadMessage(record, ["TZ", "LANG"]).environment).toEqual({ TZ: "Europe/Zurich" });
    expect(loadMessage(record, []).environment).toEqual({});
  });

  it("carries all of them if the function asks for that", () => {
    expect(loadMessage({ ...record, snapshotEnvironment: true }, []).environment).toEqual(environment);
    expect(loadMessage(record, ["*"]).environment).toEqual(environment);
  });

  it("carries all of them to a server, and how it is started", () => {
    const server = { command: ["./server"], port: 8080 };
    expect(loadMessage({ ...record, server }, [])).toMatchObject({ environment, ...server });
  });
});
