import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { modes, packCpio } from "./cpio.ts";

describe("packCpio()", () => {
  const archive = packCpio([
    { path: "bin", mode: modes.directory },
    { path: "bin/init", mode: modes.program, data: "#!/bin/sh\n" },
    { path: "bin/sh", mode: modes.link, data: "init" },
  ]);

  it("ends with the trailer, aligned to four bytes", () => {
    expect(archive.length % 4).toBe(0);
    expect(archive.includes("TRAILER!!!\0")).toBe(true);
  });

  it("starts every entry with the magic of newc and the length of its data", () => {
    const at = archive.indexOf("bin/init") - 110;
    expect(archive.subarray(at, at + 6).toString()).toBe("070701");
    expect(Number.parseInt(archive.subarray(at + 54, at + 62).toString(), 16)).toBe(10);
  });

  it("is what cpio reads, where cpio is installed", ({ skip }) => {
    const { error, stdout } = spawnSync("cpio", ["-t", "--quiet"], { input: archive, encoding: "utf8" });
    if (error !== undefined) skip("this machine has no cpio");
    expect(stdout).toBe("bin\nbin/init\nbin/sh\n");
  });
});
