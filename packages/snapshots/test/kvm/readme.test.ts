import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { fromEnvironment } from "./environment.ts";

const run = promisify(execFile);

/** The packages of this repository, as they are packed. */
const TARBALLS = {
  vmm: "FIRN_VMM_TARBALL",
  "vmm-linux-arm64-gnu": "FIRN_VMM_PLATFORM_TARBALL",
  protocol: "FIRN_PROTOCOL_TARBALL",
  snapshots: "FIRN_SNAPSHOTS_TARBALL",
};

/** Puts the packed packages into a folder as npm does; those of others come from this checkout, for there may be no network. */
async function install(folder: string): Promise<void> {
  for (const [name, variable] of Object.entries(TARBALLS)) {
    const target = join(folder, "node_modules", "@firn", name);
    await mkdir(target, { recursive: true });
    await run("tar", ["-xzf", fromEnvironment(variable), "-C", target, "--strip-components=1"]);
  }
  for (const name of ["zod", "protobufjs"]) {
    const there = fileURLToPath(new URL(`../../../../node_modules/${name}`, import.meta.url));
    await symlink(there, join(folder, "node_modules", name));
  }
}

describe("the packed package", () => {
  it("runs the README's example: base, diff, pause, snapshot, fork", async () => {
    const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
    const [, example = ""] = readme.match(/```ts\n([\s\S]*?)```/) ?? [];
    // On a disk: memory layers are large, and /tmp may be memory.
    const folder = await mkdtemp("/var/tmp/firn-snapshots-test-");
    try {
      await install(folder);
      await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
      await writeFile(join(folder, "counter.ts"), example);
      const { FIRN_VMM_BINARY: _binary, FIRN_VMM_ADDON: _addon, ...env } = process.env;
      const flags = process.execArgv.filter((flag) =>
        /^--(liftoff-only|disable-wasm-trap-handler)$/.test(flag),
      );
      const runtime = join(fromEnvironment("FIRN_GUEST_RUNTIMES"), "node24");
      const { stdout } = await run(
        process.execPath,
        [...flags, "counter.ts", fromEnvironment("FIRN_GUEST_KERNEL"), runtime],
        { cwd: folder, env, timeout: 500_000 },
      );
      assert.deepEqual(stdout.trim().split("\n"), [
        "instance: 1",
        "clones: [ 2, 2 ]",
        "instance: 2",
        "later: 2",
      ]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
