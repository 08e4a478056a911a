import { afterEach, describe, expect, it } from "vitest";
import type { FunctionRecord } from "../catalog/function-record.ts";
import { Rebuilds } from "./rebuilds.ts";

const version = (id: number, number = 1) => ({ id, version: number }) as FunctionRecord;

let made: string[];
let failures: unknown[];
let rebuilds: Rebuilds;

/** Rebuilds whose first attempts fail. */
function failingAtFirst(times: number, firstDelayMs = 1): Rebuilds {
  made = [];
  failures = [];
  const rebuild = async ({ id, version }: FunctionRecord) => {
    made.push(`${id}.${version}`);
    if (made.length <= times) throw new Error(`failure ${made.length}`);
  };
  rebuilds = new Rebuilds(rebuild, {
    onFailure: (_, error) => failures.push((error as Error).message),
    firstDelayMs,
  });
  return rebuilds;
}
afterEach(() => rebuilds.close());

describe("Rebuilds", () => {
  it("tries until it succeeds, and tells of each failure", async () => {
    failingAtFirst(3).request(version(1));
    await expect.poll(() => made.length).toBe(4);
    expect(failures).toEqual(["failure 1", "failure 2", "failure 3"]);
  });

  it("shares an attempt among all who ask for it", async () => {
    const hour = 3_600_000;
    failingAtFirst(1, hour).request(version(1));
    rebuilds.request(version(1));
    await expect.poll(() => failures.length).toBe(1);
    rebuilds.request(version(1));
    rebuilds.request(version(2));
    await expect.poll(() => made).toEqual(["1.1", "2.1"]);
  });

  it("begins anew for another version, and after a snapshot was used", async () => {
    const hour = 3_600_000;
    failingAtFirst(1, hour).request(version(1));
    await expect.poll(() => failures.length).toBe(1);
    rebuilds.request(version(1, 2));
    await expect.poll(() => made).toEqual(["1.1", "1.2"]);
    rebuilds.forget(1);
    rebuilds.request(version(1, 2));
    await expect.poll(() => made).toEqual(["1.1", "1.2", "1.2"]);
  });

  it("waits before it makes one again that was made and could not be used", async () => {
    const hour = 3_600_000;
    failingAtFirst(0, hour).request(version(1));
    await expect.poll(() => made).toEqual(["1.1"]);
    rebuilds.request(version(1));
    rebuilds.request(version(2));
    await expect.poll(() => made).toEqual(["1.1", "2.1"]);
  });

  it("begins nothing once it is closed", async () => {
    failingAtFirst(0).request(version(1));
    rebuilds.close();
    rebuilds.request(version(2));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(made).toEqual([]);
  });
});
