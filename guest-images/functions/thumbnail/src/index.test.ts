import { Jimp } from "jimp";
import { describe, expect, it } from "vitest";
import app from "./index.ts";
import { makeSample } from "./thumbnail.ts";

async function decode(response: Response) {
  const { width, height, mime } = await Jimp.read(Buffer.from(await response.arrayBuffer()));
  return { width, height, mime };
}

describe("fetch()", () => {
  it("answers with a PNG of the asked size when the body is an image", async () => {
    const body = new Uint8Array(await makeSample());
    const response = await app.fetch(
      new Request("http://function/?width=40&height=30", { method: "POST", body }),
    );
    expect(response.headers.get("content-type")).toBe("image/png");
    expect(await decode(response)).toEqual({ width: 40, height: 30, mime: "image/png" });
  });

  it("answers with a JPEG of the sample when there is no body", async () => {
    const response = await app.fetch(new Request("http://function/?width=20&height=20&format=jpeg"));
    expect(response.headers.get("content-type")).toBe("image/jpeg");
    expect(await decode(response)).toEqual({ width: 20, height: 20, mime: "image/jpeg" });
  });

  it("answers with base64 in JSON when the request is JSON", async () => {
    const image = (await makeSample()).toString("base64");
    const response = await app.fetch(
      new Request("http://function/", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ width: 10, height: 5, image }),
      }),
    );
    const answer = (await response.json()) as { image: string };
    const decoded = await Jimp.read(Buffer.from(answer.image, "base64"));
    expect([decoded.width, decoded.height]).toEqual([10, 5]);
  });

  it("answers 400 with a reason when the request makes no sense", async () => {
    for (const [query, body] of [
      ["?width=0", undefined],
      ["?width=1e9", undefined],
      ["?height=x", undefined],
      ["?format=gif", undefined],
      ["", "no image"],
    ] as const) {
      const response = await app.fetch(
        new Request(`http://function/${query}`, { method: "POST", ...(body === undefined ? {} : { body }) }),
      );
      expect([query, response.status]).toEqual([query, 400]);
      expect(((await response.json()) as { error: string }).error).toMatch(/\.$/);
    }
  });
});
