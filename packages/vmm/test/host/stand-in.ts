import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * A program that is started in place of firn-vmm: a real process with the real control socket as its standard input, so that what
 * happens to processes can be tested where there is no KVM.
 */
export class StandIn {
  readonly folder: string = mkdtempSync(join(tmpdir(), "firn-vmm-test-"));
  readonly path: string = join(this.folder, "program");

  constructor() {
    this.behave("exit 1");
    process.env.FIRN_VMM_BINARY = this.path;
  }

  /** What the program does from now on: lines of a shell script, which may leave files in the folder `$here`. */
  behave(script: string): void {
    for (const name of readdirSync(this.folder)) rmSync(join(this.folder, name));
    writeFileSync(this.path, `#!/bin/sh\nhere='${this.folder}'\n${script}\n`);
    chmodSync(this.path, 0o755);
  }

  /** A file that the script left in the folder. */
  read(name: string): string {
    return readFileSync(join(this.folder, name), "utf8");
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
