import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { invoke, remove } from "./api.ts";
import { deployed } from "./folders.ts";
import { printedLines } from "./server-log.ts";

beforeAll(async () => {
  await deployed("logs", "logs");
});
afterAll(() => remove("logs"));

const lines = (matching: RegExp) => printedLines("logs", matching);

async function print(operation: string): Promise<string> {
  return (await invoke("logs", { operation })).json as string;
}

const until = (matching: RegExp, count: number) =>
  expect.poll(() => lines(matching).length, { timeout: 60_000 }).toBeGreaterThanOrEqual(count);

describe("a line that a function prints", () => {
  it("has the id of the request that printed it", async () => {
    const ids = [await print("line"), await print("line"), await print("line")];
    await until(/^WHOLE of/, ids.length);
    expect(lines(/^WHOLE of/).map(({ requestId }) => requestId)).toEqual(ids);
    for (const { requestId, msg } of lines(/^WHOLE of/)) expect(msg).toBe(`WHOLE of ${requestId}`);
  });

  it("after the answer has that request's id or none", async () => {
    const id = await print("late");
    await until(/^LATE of/, 1);
    expect([id, undefined]).toContain(lines(/^LATE of/)[0]?.requestId);
  });

  it("is one of its own request even if it has no end", async () => {
    const id = await print("partial");
    await print("line");
    await until(/PARTIAL/, 1);
    expect(lines(/PARTIAL/)).toMatchObject([{ requestId: id, msg: "PARTIAL without line end" }]);
  });

  it("keeps its place among those of the other stream, its characters and its format", async () => {
    for (const operation of ["order", "long", "format"]) await print(operation);
    await until(/^FORMAT/, 1);
    expect(lines(/^ORDER/).map(({ msg }) => msg)).toEqual([1, 2, 3, 4].map((number) => `ORDER ${number}`));
    expect(lines(/^LONG|\u00e9\u00e9/).length).toBeGreaterThan(0);
    expect(lines(/\ufffd/)).toEqual([]);
    expect(lines(/^FORMAT/)[0]?.msg).toBe("FORMAT x is 42% of { a: [ 1, [length]: 1 ] }");
  });
});
