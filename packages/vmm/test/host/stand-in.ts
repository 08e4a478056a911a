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

  /** Waits until a condition holds, at most ten seconds. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const giveUp = Date.now() + 10_000;
    while (!condition()) {
      if (Date.now() > giveUp) throw new Error(`not within ten seconds: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Whether a process exists that is not just waiting to be reaped. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !== "Z";
  } catch {
    return false;
  }
}

/** Whether a process exists, if only as a zombie. */
export function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
