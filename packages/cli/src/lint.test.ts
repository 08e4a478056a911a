import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "./run.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-lint-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Lints a function of these files. */
async function lint(files: Readonly<Record<string, string>>, ...flags: string[]) {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  let out = "";
  let notes = "";
  const status = await run(["lint", root, ...flags], {
    environment: {},
    write: (text) => {
      out += Buffer.from(text).toString("utf8");
    },
    note: (text) => {
      notes += `${text}\n`;
    },
  });
  return { status, out, notes };
}

describe("firn lint", () => {
  it("names what a snapshot would keep, with the lines", async () => {
    const { status, out, notes } = await lint({
      "package.json": '{"type":"module","main":"src/app.js"}',
      "src/app.js": `import { spawn } from "node:child_process";
        import { warmUp } from "@firn/guest";
        import { makeId } from "./id.js";
        const id = makeId();
        setInterval(() => {}, 1000);
        warmUp(() => spawn("sleep", ["100"]).unref());
        export default () => id;`,
      "src/id.js": `import { randomUUID } from "node:crypto";
        export const makeId = () => randomUUID() + Math.random();`,
    });
    expect(out).toContain("src/id.js:2 (randomUUID), src/id.js:2 (Math.random)");
    expect(out).toContain("src/app.js:5 (setInterval, 1000 ms)");
    expect(out).toMatch(/src\/app\.js:6 \(sleep, process \d+\)/);
    expect(out.match(/\[FIRN_\w+\]/g)).toEqual([
      "[FIRN_RANDOM_BEFORE_SNAPSHOT]",
      "[FIRN_TIMER_BEFORE_SNAPSHOT]",
      "[FIRN_CHILD_PROCESS]",
    ]);
    expect({ status, notes }).toEqual({
      status: 1,
      notes: "firn: 3 warnings. A deploy would give them, too.\n",
    });
  });

  it("is silent about a function that leaves nothing", async () => {
    const files = {
      "index.mts": `import { afterRestore } from "@firn/guest";
        let id: number;
        afterRestore(() => { id = Math.random(); });
        export default (): number => id;`,
    };
    expect(await lint(files)).toEqual({ status: 0, out: "", notes: "" });
    expect(await lint(files, "--json")).toEqual({ status: 0, out: "[]\n", notes: "" });
  });

  it("tells the function's own error, and that it has ended", async () => {
    const thrown = await lint({ "index.mjs": "\nthrow new Error('no database');" });
    expect(thrown.status).toBe(1);
    expect(thrown.notes).toMatch(/^firn: The function failed at import: no database\n[\s\S]*index\.mjs:2/);
    const ended = await lint({ "index.mjs": "process.exit(3);" });
    expect(ended.notes).toBe("firn: The function ended with 3 before it was ready.\n");
  });

  it("says when there is no module", async () => {
    const none = await lint({ "package.json": '{"main":"app"}' });
    expect({ status: none.status, notes: none.notes }).toEqual({
      status: 2,
      notes: `firn: ${root} has no module app. Name it with --entry.\n`,
    });
    await writeFile(join(root, "package.json"), "{");
    expect((await lint({})).notes).toContain("is no JSON");
  });
});
