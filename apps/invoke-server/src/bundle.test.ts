import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { parseAst } from "rolldown/parseAst";
import { describe, expect, it } from "vitest";

const folder = new URL("..", import.meta.url);

describe("the bundle", () => {
  it("has no syntax that the oldest Node.js of package.json does not know", async () => {
    await promisify(execFile)(process.execPath, ["scripts/bundle.mjs"], { cwd: folder });
    const program = parseAst(await readFile(new URL("dist/bundle/firn-invoke-server.js", folder), "utf8"));
    const kinds = new Set<unknown>();
    JSON.stringify(program, (key, value) => {
      if (key === "kind") kinds.add(value);
      return typeof value === "bigint" ? null : value;
    });
    expect(kinds).toContain("const");
    expect(kinds).not.toContain("using");
    expect(kinds).not.toContain("await using");
  });
});
