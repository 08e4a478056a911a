import { chmod, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { makeErofs } from "./erofs.ts";

it("makeErofs() gives the same bytes whenever and by whom the folder was made", async () => {
  const folder = await mkdtemp(join(tmpdir(), "firn-erofs-"));
  try {
    const image = async (name: string, mode: number, time: number) => {
      const root = join(folder, name);
      await mkdir(join(root, "bin"), { recursive: true });
      await writeFile(join(root, "bin", "program"), "#!/bin/sh\n");
      await writeFile(join(root, "text"), "text");
      await chmod(join(root, "bin", "program"), 0o700);
      await chmod(join(root, "text"), mode);
      await utimes(join(root, "text"), time, time);
      await makeErofs(root, `${root}.erofs`);
      return readFile(`${root}.erofs`);
    };
    const [first, second] = [await image("first", 0o600, 1), await image("second", 0o640, 1_000_000)];
    expect(first.equals(second)).toBe(true);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
