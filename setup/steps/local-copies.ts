import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import type { ArmHost } from "../../test/rig/src/index.ts";
import { SetupError } from "../errors.ts";

const folder = "/var/lib/firn/files";
const copyDeadlineMs = 5 * 60_000;

/**
 * Copies files and folders to the rig's own disk, where they are not there yet, and returns where they lie. A directory that is shared with
 * the host is not cached in the rig: a guest's disk would be read through it again and again. An ARM host that is this machine
 * reads the originals.
 */
export async function localCopies(host: ArmHost, files: readonly string[]): Promise<string[]> {
  if (host.kind === "native") return [...files];
  const targets = await Promise.all(
    files.map(async (file) => `${folder}/${await version(file)}-${basename(file)}`),
  );
  // The rig's shell has a cp of its own, which makes no sparse files. What an earlier version left behind goes; a copy that was cut off has another name.
  const script = [
    "set -e",
    `mkdir -p ${folder}`,
    `for old in ${folder}/*; do case " $KEEP " in *" $old "*) ;; *) rm -rf "$old" ;; esac; done`,
    'while [ $# -gt 0 ]; do [ -e "$2" ] || { rm -rf "$2.part" && /usr/bin/cp -r --sparse=always "$1" "$2.part" && chmod -R a+rX "$2.part" && mv "$2.part" "$2"; }; shift 2; done',
    "sync",
  ].join("\n");
  const pairs = files.flatMap((file, index) => [file, targets[index] ?? ""]);
  const env = { KEEP: targets.join(" ") };
  const { status, stderr } = await host.exec("sh", ["-c", script, "copy", ...pairs], {
    env,
    timeoutMs: copyDeadlineMs,
  });
  if (status === 0) return targets;
  throw new SetupError("COMMAND_FAILED", `Files cannot be copied to the rig's disk: ${stderr}`);
}

async function version(file: string): Promise<string> {
  const { size, mtimeMs } = await stat(file);
  return createHash("sha256").update(`${file} ${size} ${mtimeMs}`).digest("hex").slice(0, 16);
}
