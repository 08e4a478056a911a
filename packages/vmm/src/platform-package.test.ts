import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { locate, type Surroundings } from "./platform-package.ts";

const folder = mkdtempSync(join(tmpdir(), "firn-vmm-locate-"));
const file = join(folder, "file");
writeFileSync(file, "");
afterAll(() => rmSync(folder, { recursive: true }));

const arm: Surroundings = { platform: "linux", arch: "arm64", libc: "gnu", env: {} };

it.each([
  [{ ...arm, platform: "darwin", libc: "unknown" }, "darwin-arm64"],
  [{ ...arm, arch: "x64" }, "linux-x64-gnu"],
  [{ ...arm, libc: "musl" }, "linux-arm64-musl"],
] as [Surroundings, string][])(
  "locate() names the platform when it is not supported: %j",
  (surroundings, name) => {
    expect(() => locate(surroundings)).toThrow(
      expect.objectContaining({ code: "FIRN_PLATFORM_UNSUPPORTED", message: expect.stringContaining(name) }),
    );
  },
);

it("locate() takes what the environment names, on any platform", () => {
  const env = { FIRN_VMM_ADDON: file, FIRN_VMM_BINARY: file };
  expect(locate({ ...arm, arch: "x64", env })).toEqual({ addonPath: file, binaryPath: file });
});

it.each(["FIRN_VMM_ADDON", "FIRN_VMM_BINARY"])(
  "locate() throws when %s names nothing that exists",
  (variable) => {
    const env = { FIRN_VMM_ADDON: file, FIRN_VMM_BINARY: file, [variable]: join(folder, "missing") };
    const message = expect.stringMatching(new RegExp(`^${variable} names .*missing, which does not exist`));
    expect(() => locate({ ...arm, env })).toThrow(
      expect.objectContaining({ code: "FIRN_VMM_BINARY_MISSING", message }),
    );
  },
);

it("locate() finds the package of the platform, or says which one is missing", () => {
  const found = (() => {
    try {
      return locate(arm).binaryPath;
    } catch (error) {
      return (error as Error).message;
    }
  })();
  // A checkout has it once it was built for ARM.
  expect(found).toMatch(/linux-arm64-gnu\/bin\/firn-vmm$|@firn\/vmm-linux-arm64-gnu is not installed/);
});
