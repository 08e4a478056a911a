import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { type ArmHost, copyLines } from "../../test/rig/src/index.ts";
import { SetupError } from "../errors.ts";

const folder = "/var/lib/firn/files";
const copyDeadlineMs = 5 * 60_000;

/**
 * Copies files and folders to the rig's own disk, where they are not there yet, and returns where they lie. A directory that is shared
 * with the host is not cached in the rig: a guest's disk would be read through it again and again. An ARM host that is this machine
 * reads the originals.
 */
export async function localCopies(host: ArmHost, files: readonly string[]): Promise<string[]> {
  if (host.kind === "native") return [...files];
  const copies = await Promise.all(files.map(copyOf));
  const targets = copies.map(({ target }) => target);
  // What an earlier version left behind goes; a copy that was cut off has another name.
  const script = [
    "set -e",
    `mkdir -p ${folder}`,
    `for old in ${folder}/*; do case " $KEEP " in *" $old "*) ;; *) rm -rf "$old" ;; esac; done`,
    ...copies.map(({ target, lines }) => {
      const copy = [...lines, `chmod -R a+rX ${target}.part`, `mv ${target}.part ${target}`].join("\n");
      return `[ -e ${target} ] || {\n${copy}\n}`;
    }),
    "sync",
  ].join("\n");
  const env = { KEEP: targets.join(" ") };
  const { status, stderr } = await host.exec("sh", ["-c", script], { env, timeoutMs: copyDeadlineMs });
  if (status === 0) return targets;
  throw new SetupError("COMMAND_FAILED", `Files cannot be copied to the rig's disk: ${stderr}`);
}

async function copyOf(file: string): Promise<{ target: string; lines: string[] }> {
  const { size, mtimeMs } = await stat(file);
  const version = createHash("sha256").update(`${file} ${size} ${mtimeMs}`).digest("hex").slice(0, 16);
  const target = `${folder}/${version}-${basename(file).replace(/[^\w.-]/g, "_")}`;
  return { target, lines: await copyLines(file, `${target}.part`) };
}
