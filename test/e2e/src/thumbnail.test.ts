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

  // How many times faster that is, `npm run up -- --once` prints: a test counts.
  it("starts cold with a hundredth of the exits of a regular boot and a fifth of its private memory", async () => {
    const regular = await statistics("regular");
    const cold = await statistics("cold");
    expect(regular.kvmExits / cold.kvmExits).toBeGreaterThan(100);
    expect(regular.privateBytes / cold.privateBytes).toBeGreaterThan(5);
    expect(cold.diskBytesRead).toBe(0);
    expect(regular.diskBytesRead).toBeGreaterThan(1 << 20);
  });
});

interface Statistics {
  kvmExits: number;
  privateBytes: number;
  diskBytesRead: number;
}

async function statistics(start: string): Promise<Statistics> {
  const answer = await call(PATH, { headers: { "x-firn-start": start, "x-firn-statistics": "1" } });
  expect(answer).toMatchObject({ status: 200, start });
  return JSON.parse(answer.headers.get("x-firn-statistics") ?? "null");
}

function get(path: string, start: string): Promise<Answer> {
  return call(path, { headers: { "x-firn-start": start } });
}
