import { existsSync } from "node:fs";
import { rename, truncate, writeFile } from "node:fs/promises";
import { run } from "../../../setup/command.ts";

const sizeMiB = 32 * 1024;

/** Makes the disk that keeps a rig's data, where it is missing. Its file grows with what is written to it. */
export async function ensureDataDisk(file: string): Promise<string> {
  if (existsSync(file)) return file;
  const temporary = `${file}.new`;
  await writeFile(temporary, "");
  await truncate(temporary, sizeMiB * 1024 * 1024);
  await run("/sbin/mkfs.ext4", [
    "-q",
    "-F",
    "-E",
    "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0",
    temporary,
  ]);
  await rename(temporary, file);
  return file;
}
