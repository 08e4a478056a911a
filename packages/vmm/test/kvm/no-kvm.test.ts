import assert from "node:assert/strict";
import { chmod, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { locate } from "../../src/platform-package.ts";
import { bootGuest, temporaryFolder } from "./guest.ts";

const isRoot = process.getuid?.() === 0;

describe("a machine without /dev/kvm", { skip: isRoot ? false : "only root can hide a device" }, () => {
  let folder: string;

  before(async () => {
    folder = await temporaryFolder();
    const program = join(folder, "firn-vmm");
    const hide = `mount -t tmpfs none /dev && exec "$0" "$@"`;
    await writeFile(
      program,
      `#!/bin/sh\nexec unshare --mount /bin/sh -c '${hide}' '${locate().binaryPath}' "$@"\n`,
    );
    await chmod(program, 0o755);
    process.env.FIRN_VMM_BINARY = program;
  });

  after(() => rm(folder, { recursive: true, force: true }));

  it("bootMicrovm() rejects with FIRN_KVM_UNAVAILABLE and advice", async () => {
    await assert.rejects(bootGuest(), { code: "FIRN_KVM_UNAVAILABLE", message: /\/dev\/kvm/ });
  });
});
