import { expect, it } from "vitest";
import { parseDigest } from "./digest.ts";

it("parseDigest() returns the 32 bytes", () => {
  expect(Buffer.from(parseDigest(`sha256:${"0a".repeat(32)}`))).toEqual(Buffer.alloc(32, 10));
});

it.each(["", "sha256:", `sha512:${"0".repeat(64)}`, `sha256:${"0".repeat(63)}`, `sha256:${"G".repeat(64)}`])(
  "parseDigest() throws for %j",
  (text) => expect(() => parseDigest(text)).toThrow(expect.objectContaining({ code: "FIRN_VMM_OPTIONS" })),
);
