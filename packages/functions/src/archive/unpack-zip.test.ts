import { mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ArchiveEntry, type ZipOptions, zipOf } from "../../test/archives.ts";
import { DEFAULT_APP_LIMITS } from "./app-errors.ts";
import { AppFolder } from "./app-folder.ts";
import { unpackZip } from "./unpack-zip.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-zip-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Unpacks a zip, and gives the names of what came out. */
async function unpack(entries: ArchiveEntry[], options?: ZipOptions): Promise<string[]> {
  const archive = join(root, "..", `${root.split("/").at(-1)}.zip`);
  await writeFile(archive, zipOf(entries, options));
  try {
    const folder = new AppFolder(root, DEFAULT_APP_LIMITS);
    await unpackZip(archive, folder);
    await folder.finish();
    return (await readdir(root, { recursive: true })).sort();
  } finally {
    await rm(archive);
  }
}

const text = (name: string) => readFile(join(root, name), "utf8");
const mode = async (name: string) => (await stat(join(root, name))).mode & 0o777;

describe("unpackZip()", () => {
  it("takes names for UTF-8 that are, though no flag says so", async () => {
    expect(await unpack([{ name: "données.json" }, { name: "日本/語.js" }])).toEqual(
      ["données.json", "日本", "日本/語.js"].sort(),
    );
  });

  it("takes names for code page 437 that are no UTF-8", async () => {
    expect(await unpack([{ name: Buffer.from([0x64, 0x82, 0x6a, 0x85]) }])).toEqual(["déjà"]);
  });

  it("takes a backslash for the separator that it is on Windows", async () => {
    const entries = [{ name: "lib\\deep\\answer.js", contents: "42" }, { name: "empty\\" }];
    expect(await unpack(entries, { madeBy: 0 })).toEqual(["empty", "lib", "lib/deep", "lib/deep/answer.js"]);
    expect([await text("lib/deep/answer.js"), await mode("lib/deep/answer.js")]).toEqual(["42", 0o644]);
    expect((await stat(join(root, "empty"))).isDirectory()).toBe(true);
  });

  it("keeps what is executable and gives all a right to read", async () => {
    await unpack(
      [
        { name: "bin/", mode: 0o040_700 },
        { name: "bin/tool", mode: 0o100_755, contents: "#!/bin/sh" },
        { name: "private.js", mode: 0o100_600 },
        { name: "none.js", mode: 0o100_000 },
        { name: "untyped.js", mode: 0 },
        { name: "lib/answer.v2.js", contents: "42" },
        { name: "lib/answer.js", link: "answer.v2.js" },
      ],
      { compressed: true },
    );
    expect([await mode("bin"), await mode("bin/tool")]).toEqual([0o755, 0o755]);
    for (const name of ["private.js", "none.js", "untyped.js"]) expect(await mode(name)).toBe(0o644);
    expect(await readlink(join(root, "lib/answer.js"))).toBe("answer.v2.js");
    expect(await text("lib/answer.js")).toBe("42");
  });

  it("reads zip64", async () => {
    const entries = [
      { name: "index.js", contents: "1".repeat(1000) },
      { name: "b.js", contents: "2" },
    ];
    expect(await unpack(entries, { zip64: true, compressed: true })).toEqual(["b.js", "index.js"]);
    expect(await text("index.js")).toBe("1".repeat(1000));
  });

  it("leaves out what the file managers of macOS leave in archives", async () => {
    const names = [
      "index.js",
      "lib/.DS_Store",
      "__MACOSX/._index.js",
      "__MACOSX/lib/._a",
      "lib/__MACOSX",
      ".DS_Store",
    ];
    expect(await unpack(names.map((name) => ({ name })))).toEqual(["index.js", "lib", "lib/__MACOSX"]);
  });

  it.each<[string, ArchiveEntry]>([
    ["a path that leaves the app", { name: "..\\evil.js" }],
    ["an absolute path", { name: "\\evil.js" }],
    ["a name with a zero", { name: "a\0b" }],
    ["a pipe", { name: "pipe", mode: 0o010_644 }],
    ["a device", { name: "null", mode: 0o020_666 }],
    ["a name that says it is UTF-8 and is not", { name: "a\ufffd" }],
    ["a name that is too long", { name: "x".repeat(256) }],
    ["a path that is too long", { name: `${"x".repeat(200)}/`.repeat(20) }],
    ["a link with a long target", { name: "link", link: "x".repeat(5000) }],
  ])("refuses %s", async (_, entry) => {
    await expect(unpack([entry])).rejects.toMatchObject({ code: "FIRN_APP_INVALID" });
    expect(await readdir(root)).toEqual([]);
  });
});
