import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CodeScanner } from "./code-scanner.ts";

/** Scans a text in pieces of the given lengths, over and over. */
function scan(text: string | Buffer, lengths: readonly number[] = [1 << 16], limit = 1 << 16) {
  const scanner = new CodeScanner("Code.ZipFile", limit);
  const bytes = Buffer.from(text as string);
  const zip: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const length = lengths[turn % lengths.length] ?? 1;
    zip.push(...scanner.push(bytes.subarray(at, at + length)));
    at += length;
  }
  return { fields: scanner.end(), found: scanner.found, zip: Buffer.concat(zip) };
}

const lengths = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 20 });
const spaces = fc.constantFrom(undefined, 1, "\t\r\n ");

describe("CodeScanner", () => {
  it("finds the archive in any JSON around it, however the bytes arrive", () => {
    const around = fc.dictionary(
      fc.string().filter((key) => key !== "Code"),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(
        around,
        around,
        fc.uint8Array(),
        spaces,
        lengths,
        (before, beside, bytes, space, pieces) => {
          const { ZipFile: _, ...others } = beside;
          const base64 = Buffer.from(bytes).toString("base64");
          const body = { ...before, Code: { ...others, ZipFile: base64 }, ...before };
          const { fields, found, zip } = scan(JSON.stringify(body, null, space), pieces);
          expect(zip.equals(bytes)).toBe(true);
          expect(found).toBe(true);
          const kept = JSON.stringify({ ...body, Code: { ...others, ZipFile: "" } });
          expect(JSON.stringify(fields)).toBe(JSON.stringify(JSON.parse(kept)));
        },
      ),
      { numRuns: 500 },
    );
  });

  it("leaves every JSON as it is that has no archive at its place", () => {
    fc.assert(
      fc.property(fc.jsonValue(), spaces, lengths, (value, space, pieces) => {
        for (const body of [
          value,
          [{ Code: { ZipFile: "AAAA" } }],
          { Code: [{ ZipFile: "AAAA" }] },
          { ZipFile: "!" },
          { Code: { A: { ZipFile: "=" } } },
          { Code: "ZipFile" },
        ]) {
          const { fields, found, zip } = scan(JSON.stringify(body, null, space), pieces);
          expect(JSON.stringify(fields)).toBe(JSON.stringify(JSON.parse(JSON.stringify(body))));
          expect([found, zip.length]).toEqual([false, 0]);
        }
      }),
    );
  });

  it("throws what JSON.parse throws, or an error of its own, on any bytes", () => {
    const pieces = fc.constantFrom(
      '{"Code":',
      '{"ZipFile":"',
      '"',
      "\\",
      "\\u00",
      "AAAA",
      "=",
      "}",
      "[",
      ":",
      ",",
      "\u00ff",
      "{",
    );
    fc.assert(
      fc.property(fc.array(pieces), lengths, (parts, sizes) => {
        try {
          scan(parts.join(""), sizes);
        } catch (error) {
          expect(["SyntaxError", "TypeError", "CodeScanError"]).toContain((error as Error).name);
        }
      }),
    );
  });

  it("understands the escapes that JSON writers make of base64's characters", () => {
    const base64 = Buffer.from([0xfb, 0xff, 0xbf, 0xfe]).toString("base64");
    expect(base64).toBe("+/+//g==");
    const escaped = '{"Code":{"ZipFile":"\\u002b\\/+\\/\\/g\\u003d\\u003D"}}';
    for (const pieces of [[1], [2], [3], [7], [100]]) {
      expect([...scan(escaped, pieces).zip]).toEqual([0xfb, 0xff, 0xbf, 0xfe]);
    }
    expect(scan('\ufeff{"Code":{"ZipFile":"AAAA"}}').zip.length).toBe(3);
  });

  it.each([
    ["another alphabet", '{"Code":{"ZipFile":"AA-_"}}'],
    ["an incomplete group", '{"Code":{"ZipFile":"AAA"}}'],
    ["padding inside", '{"Code":{"ZipFile":"AA==AAAA"}}'],
    ["too much padding", '{"Code":{"ZipFile":"A==="}}'],
    ["a line end", '{"Code":{"ZipFile":"AAAA\\nAAAA"}}'],
    ["an escape beyond ASCII", '{"Code":{"ZipFile":"AAA\\u0141"}}'],
    ["two archives", '{"Code":{"ZipFile":"AAAA","ZipFile":"AAAA"}}'],
  ])("refuses %s", (_, text) => {
    expect(() => scan(text)).toThrow(expect.objectContaining({ name: "CodeScanError" }));
    expect(() => scan(text, [1])).toThrow(expect.objectContaining({ name: "CodeScanError" }));
  });

  it("refuses what is too long beside the archive", () => {
    const text = JSON.stringify({ Code: { ZipFile: "A".repeat(4000) }, Description: "x".repeat(101) });
    expect(() => scan(text, [64], 100)).toThrow(/longer than 100/);
    expect(scan(text, [64], 200).zip.length).toBe(3000);
  });
});
