import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { repository } from "../../../setup/machine.ts";
import { chooseShares, contains } from "./shares.ts";

describe("contains()", () => {
  it("does not take a longer name for a folder inside", () => {
    expect(contains("/a/b", "/a/b/c")).toBe(true);
    expect(contains("/a/b", "/a/bc")).toBe(false);
  });
});

describe("chooseShares()", () => {
  let scratch = "";
  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), "firn-shares-"));
  });
  afterEach(() => rm(scratch, { recursive: true }));

  it("shares repository and cache, cargo's target directory where it is elsewhere, and what is asked for", () => {
    const shares = chooseShares({
      FIRN_CACHE: join(scratch, "cache"),
      CARGO_TARGET_DIR: join(scratch, "target"),
      FIRN_RIG_SHARE: `${join(scratch, "more")}:${join(repository, "docs")}`,
    });
    expect(shares).toEqual([
      { path: repository, writable: true },
      { path: join(scratch, "cache"), writable: false },
      { path: join(scratch, "target"), writable: true },
      { path: join(scratch, "more"), writable: true },
    ]);
  });
});
