import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "../../setup/command.ts";
import { makeScratch, scratchBytes } from "./scratch.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "firn-scratch-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("makeScratch()", () => {
  it("makes a sparse file of 512 MiB, the same bytes each time", async () => {
    const [first, second] = [join(folder, "a"), join(folder, "b")];
    await makeScratch(first);
    // The next second: a time of the builder's would differ.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await makeScratch(second);
    const { size, blocks } = await stat(first);
    expect(size).toBe(scratchBytes);
    expect(blocks * 512).toBeLessThan(1 << 20);
    await run("cmp", [first, second]);
  }, 60_000);

  it("makes a file system without a fault, empty, on which everybody may write", async () => {
    const image = join(folder, "scratch.ext4");
    await makeScratch(image);
    await run("/sbin/e2fsck", ["-f", "-n", image]);
    const listed = await run("/sbin/debugfs", ["-R", "ls -l /", image]);
    expect(listed.stdout.match(/\S+$/gm)).toEqual([".", ".."]);
    expect(listed.stdout).toMatch(/ 41777 /);
    // Nothing is left to initialize: the guest's kernel would do it at each start.
    const described = await run("/sbin/dumpe2fs", [image]);
    const groups = described.stdout.match(/^Group \d+:.*$/gm) ?? [];
    expect(groups.length).toBeGreaterThan(0);
    for (const group of groups) expect(group).toContain("ITABLE_ZEROED");
  }, 60_000);
});
