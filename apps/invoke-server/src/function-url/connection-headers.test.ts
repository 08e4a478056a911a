import { describe, expect, it } from "vitest";
import { endToEndHeaders } from "./connection-headers.ts";

describe("endToEndHeaders()", () => {
  it("leaves out what belongs to one connection, what Connection names, and Firn's own", () => {
    const headers: [string, string][] = [
      ["Connection", "close, X-Secret"],
      ["connection", "toString , __proto__"],
      ["X-Secret", "1"],
      ["toString", "2"],
      ["TE", "trailers"],
      ["Keep-Alive", "timeout=5"],
      ["Transfer-Encoding", "chunked"],
      ["Expect", "100-continue"],
      ["Upgrade", "h2c"],
      ["X-Firn-Start", "cold"],
      ["constructor", "3"],
      ["__proto__", "4"],
      ["Set-Cookie", "a=1"],
      ["set-cookie", "b=2"],
    ];
    expect(endToEndHeaders(headers)).toEqual([
      { name: "constructor", value: "3" },
      { name: "set-cookie", value: "a=1" },
      { name: "set-cookie", value: "b=2" },
    ]);
  });
});
