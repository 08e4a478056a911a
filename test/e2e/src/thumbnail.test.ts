import { beforeAll, describe, expect, it } from "vitest";
import { type Answer, call } from "./api.ts";
import { deployThumbnail } from "./examples.ts";

const PATH = "/functions/thumbnail/http/?width=64&height=48";

beforeAll(async () => {
  expect((await deployThumbnail()).json).toMatchObject({ name: "thumbnail", state: "Active" });
});

describe("thumbnail", () => {
  it("answers cold and warm with a PNG of the size asked for", async () => {
    for (const start of ["cold", "warm"]) {
      const answer = await get(`${PATH}&format=png`, start);
      expect(answer).toMatchObject({ status: 200, start });
      expect(answer.headers.get("content-type")).toBe("image/png");
      expect(answer.body.subarray(1, 4).toString("latin1")).toBe("PNG");
      expect([answer.body.readUInt32BE(16), answer.body.readUInt32BE(20)]).toEqual([64, 48]);
    }
  });

  it("takes an image as the body of a request, and answers with a JPEG", async () => {
    const png = (await get(`${PATH}&format=png`, "auto")).body;
    const answer = await call("/url/thumbnail/?width=16&height=16&format=jpeg", {
      method: "POST",
      headers: { "content-type": "image/png" },
      body: new Uint8Array(png),
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("image/jpeg");
    expect(answer.body.readUInt16BE(0)).toBe(0xffd8);
  });

  it("starts cold at least ten times as fast as by a regular boot", async () => {
    const regular = await get(PATH, "regular");
    expect(regular).toMatchObject({ status: 200, start: "regular" });
    const cold: number[] = [];
    for (let start = 0; start < 3; start += 1) cold.push(total(await get(PATH, "cold")));
    const [, median = Number.NaN] = cold.sort((a, b) => a - b);
    expect(total(regular) / median).toBeGreaterThanOrEqual(10);
  });
});

function get(path: string, start: string): Promise<Answer> {
  return call(path, { headers: { "x-firn-start": start } });
}

function total({ phases }: Answer): number {
  return phases.total ?? Number.NaN;
}
