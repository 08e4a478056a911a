import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { isTooLong, quote, remoteLine } from "./ssh.ts";

describe("quote()", () => {
  it.each(["plain", "two words", "it's", "$HOME `id`", "a\nb", "", "*", "-n"])(
    "keeps %j one word",
    (word) => {
      expect(execFileSync("sh", ["-c", `printf %s ${quote(word)}`], { encoding: "utf8" })).toBe(word);
    },
  );
});

describe("remoteLine()", () => {
  it("leaves out variables that are undefined, and quotes the others", () => {
    const line = remoteLine({
      command: "ls",
      args: ["a b"],
      cwd: "/x",
      env: { A: "1 2", B: undefined },
      id: "i",
    });
    expect(line).toContain("'A=1 2' ls 'a b'");
    expect(line).not.toContain("B=");
  });
});

describe("isTooLong()", () => {
  it("counts bytes, not characters", () => {
    expect(isTooLong("x".repeat(6000))).toBe(false);
    expect(isTooLong("ä".repeat(3001))).toBe(true);
  });
});
