import { describe, expect, it } from "vitest";
import { readImageSize } from "./image-size.ts";

describe("readImageSize()", () => {
  it("reads a PNG", () => {
    const header = "89504e470d0a1a0a0000000d494844520000004000000030";
    expect(readImageSize(Buffer.from(header, "hex"))).toEqual({ kind: "png", width: 64, height: 48 });
  });

  it("reads a JPEG, past the segments before its frame", () => {
    const jpeg = "ffd8ffe000044a46ffc0001108003000400301";
    expect(readImageSize(Buffer.from(jpeg, "hex"))).toEqual({ kind: "jpeg", width: 64, height: 48 });
  });

  it("is undefined for what is no image, or cut off", () => {
    expect(readImageSize(Buffer.from("<html>"))).toBeUndefined();
    expect(readImageSize(Buffer.from("ffd8ffe0", "hex"))).toBeUndefined();
    expect(readImageSize(Buffer.alloc(0))).toBeUndefined();
  });
});
