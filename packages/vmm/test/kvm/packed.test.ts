import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { nodeArguments } from "../support/node-program.ts";
import { fromEnvironment, KERNEL, ROOT_DISK, temporaryFolder } from "./guest.ts";

const run = promisify(execFile);

describe("the packed package", () => {
  it("installs with that of its platform in an empty folder, and runs the README's example there", async () => {
    const tarballs = ["FIRN_VMM_TARBALL", "FIRN_VMM_PLATFORM_TARBALL"].map(fromEnvironment);
    const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
    const [, example = ""] = readme.match(/```ts\n([\s\S]*?)```/) ?? [];
    assert.ok(example.trim().split("\n").length <= 30, "the example has more than 30 lines");
    const folder = await temporaryFolder();
    try {
      const offline = ["--offline", "--no-audit", "--no-fund"];
      await run("npm", ["install", ...offline, ...tarballs], { cwd: folder, timeout: 240_000 });
      assert.ok(existsSync(join(folder, "node_modules/@firn/vmm-linux-arm64-gnu/bin/firn-vmm")));
      await writeFile(join(folder, "clones.ts"), example);
      // Of nothing but what was installed.
      const { FIRN_VMM_BINARY: _binary, FIRN_VMM_ADDON: _addon, ...env } = process.env;
      const { stdout } = await run(process.execPath, nodeArguments("clones.ts", KERNEL, ROOT_DISK), {
        cwd: folder,
        env,
        timeout: 240_000,
      });
      const [, first] = stdout.match(/^source: tick (\d+)$/m) ?? [];
      assert.ok(first !== undefined, stdout);
      assert.match(stdout, /^snapshot: \{/m);
      const clones = [...stdout.matchAll(/^clone \d+: tick (\d+)$/gm)].map(([, tick]) => Number(tick));
      assert.equal(clones.length, 10, stdout);
      assert.ok(
        clones.every((tick) => tick === clones[0] && tick > Number(first)),
        stdout,
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
