import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What {@link StandIn.servePool} does beside answering, in shell: may wait, end, or never come back. */
export interface PoolBehaviour {
  whilePreparing?: string;
  whileRestoring?: string;
}

/** The private memory that {@link StandIn.servePool} reports, in bytes. */
export const REPORTED_BYTES: number = 1 << 20;

// A request: version, number, count of descriptors, their meanings, kind. Numbers are LEB128; here they are in octal, as printf wants
// them.
const SPEAK = `
receive() {
  set -- $(dd bs=65536 count=1 2>/dev/null | od -An -v -to1 -N64)
  [ $# -gt 0 ] || exit 0
  shift
  id=
  while id="$id\\\\$1"; case $1 in [23]*) true ;; *) false ;; esac; do shift; done
  shift
  count=$((0$1))
  shift
  shift $count
  kind=$1
}
say_jailed() { printf '\\003\\002\\000\\000\\000\\000\\000\\000' >&0; }
answer() { printf "\\000$id\\000$1" >&0; }
note() { echo $$ >> "$here/$1"; }
`;
/** Fields of a `PreparedReport` behind the private bytes. */
const OTHER_FIELDS = 10;
/** That a process is prepared, with this much private memory in bytes: a Response, in the form that `answer` takes. */
export function prepared(privateBytes: number): string {
  const bytes = [6];
  let rest = privateBytes;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest, ...Array<number>(OTHER_FIELDS).fill(0));
  return bytes.map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}
const DONE = "\\000";

/**
 * A program that is started in place of firn-vmm: a real process with the real control socket as its standard input, so that what
 * happens to processes can be tested where there is no KVM.
 */
export class StandIn {
  readonly folder: string = mkdtempSync(join(tmpdir(), "firn-vmm-test-"));
  readonly path: string = join(this.folder, "program");
  readonly #behaviour = join(this.folder, "behaviour");

  constructor() {
    // Written once: a pool may start it at any moment, and what is open to be written cannot be started.
    writeFileSync(this.path, `#!/bin/sh\nhere='${this.folder}'\n. "$here/behaviour"\n`);
    this.behave("exit 1");
    process.env.FIRN_VMM_BINARY = this.path;
  }

  /** What the program does from now on: lines of a shell script, which may leave files in the folder `$here`. */
  behave(script: string): void {
    const kept = [this.path, this.#behaviour];
    const files = readdirSync(this.folder).map((name) => join(this.folder, name));
    for (const file of files.filter((file) => !kept.includes(file))) rmSync(file);
    // In one piece, for a program that is starting.
    writeFileSync(`${this.#behaviour}.new`, `${script}\n`);
    renameSync(`${this.#behaviour}.new`, this.#behaviour);
    // A test may have made it a program that cannot be started.
    chmodSync(this.path, 0o755);
  }

  /**
   * The program answers a preparation and a restore, or a restore alone, and lives on. Its process number is in the files `preparing`,
   * `waiting`, `restoring` and `serving` of the folder when it is at that point.
   */
  servePool({ whilePreparing = "", whileRestoring = "" }: PoolBehaviour = {}): void {
    this.behave(`${SPEAK}
      say_jailed
      receive
      if [ $kind = 001 ]; then
        note preparing
        ${whilePreparing}
        note waiting
        answer '${prepared(REPORTED_BYTES)}'
        receive
      fi
      note restoring
      ${whileRestoring}
      answer '${DONE}'
      note serving
      exec cat > /dev/null`);
  }

  /** The program restores, goes on with these lines, and lives on; `next` in them waits for a request and answers it, `ring` rings. */
  restoreAnd(lines: string): void {
    this.behave(`${SPEAK}
      next() { receive; answer '${DONE}'; }
      ring() { printf '\\001\\000\\002\\000' >&0; }
      say_jailed
      next
      ${lines}
      exec cat > /dev/null`);
  }

  /** The numbers of the processes that came to a point. */
  at(point: "preparing" | "waiting" | "restoring" | "serving"): number[] {
    try {
      // What follows the last end of a line is not written yet, and may never be if the process is ended now.
      return this.read(point).split("\n").slice(0, -1).map(Number);
    } catch {
      return [];
    }
  }

  /** A file that the script left in the folder. */
  read(name: string): string {
    return readFileSync(join(this.folder, name), "utf8");
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
