import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { artefact, cacheDirectory, cacheKey } from "./cache.ts";

describe("cacheKey()", () => {
  it("does not depend on the order of the inputs", () => {
    expect(cacheKey({ a: "1", b: "2" })).toBe(cacheKey({ b: "2", a: "1" }));
  });

  it("tells apart inputs whose bytes read the same in a row", () => {
    expect(cacheKey({ a: "1b", c: "" })).not.toBe(cacheKey({ a: "1", bc: "" }));
  });
});

describe("cacheDirectory()", () => {
  it("is FIRN_CACHE before XDG_CACHE_HOME", () => {
    expect(cacheDirectory({ FIRN_CACHE: "/x", XDG_CACHE_HOME: "/y" })).toBe("/x");
    expect(cacheDirectory({ XDG_CACHE_HOME: "/y" })).toBe("/y/firn");
  });
});

describe("artefact()", () => {
  let root = "";
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "firn-cache-"));
  });
  afterEach(() => rm(root, { recursive: true }));

  const recipe = (inputs: Record<string, string>, build: (directory: string) => Promise<void>) => ({
    kind: "thing",
    inputs,
    build,
  });

  it("builds once for the same inputs, also when asked twice at the same time", async () => {
    let builds = 0;
    const build = async (directory: string) => {
      builds += 1;
      await writeFile(join(directory, "file"), "contents");
    };
    const [first, second] = await Promise.all([
      artefact(recipe({ a: "1" }, build), root),
      artefact(recipe({ a: "1" }, build), root),
    ]);
    expect(builds).toBe(1);
    expect(first.directory).toBe(second.directory);
    expect(await readFile(join(first.directory, "file"), "utf8")).toBe("contents");
  });

  it("leaves nothing behind when a build fails", async () => {
    let directory = "";
    const build = async (into: string) => {
      directory = into;
      throw new Error("no");
    };
    await expect(artefact(recipe({ a: "1" }, build), root)).rejects.toThrow("no");
    expect(existsSync(directory)).toBe(false);
    const { cached } = await artefact(
      recipe({ a: "1" }, async () => undefined),
      root,
    );
    expect(cached).toBe(false);
  });

  it("keeps the four artefacts of a kind that were used last", async () => {
    const made: string[] = [];
    for (const a of ["1", "2", "3", "4", "5", "6"]) {
      made.push(
        (
          await artefact(
            recipe({ a }, async () => undefined),
            root,
          )
        ).directory,
      );
    }
    expect(made.map((directory) => existsSync(directory))).toEqual([false, false, true, true, true, true]);
  });
});
