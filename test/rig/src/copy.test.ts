import { execFile } from "node:child_process";
import { mkdir, mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { copyLines } from "./copy.ts";

it("copyLines() copies a folder, and a sparse file as one", async () => {
  const folder = await mkdtemp(join(tmpdir(), "firn-copy-"));
  try {
    const source = join(folder, "it's a source");
    await mkdir(join(source, "inner"), { recursive: true });
    await writeFile(join(source, "inner", "text"), "text");
    const sparse = await open(join(source, "sparse"), "w");
    await sparse.write("begin", 0);
    await sparse.write("middle", 20 * 1024 * 1024 + 100);
    await sparse.truncate(64 * 1024 * 1024 + 10);
    await sparse.close();
    const target = join(folder, "target");
    const lines = await copyLines(source, target);
    await promisify(execFile)("sh", ["-ec", lines.join("\n")]);
    expect(await readFile(join(target, "inner", "text"), "utf8")).toBe("text");
    await promisify(execFile)("cmp", [join(source, "sparse"), join(target, "sparse")]);
    expect((await stat(join(target, "sparse"))).blocks * 512).toBeLessThan(1 << 20);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
