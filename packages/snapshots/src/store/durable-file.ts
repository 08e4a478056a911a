import { type FileHandle, open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** Mode of what is complete: a snapshot is the memory of a guest, and nobody else's to read. */
const COMPLETE_MODE = 0o400;

/** Makes the entries of a folder durable: files that were renamed into it survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Creates a file that only this user can read and write, whatever the umask. Nothing may be there yet. */
export async function createPrivately(path: string): Promise<FileHandle> {
  const file = await open(path, "wx+", 0o600);
  try {
    await file.chmod(0o600);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Makes the contents of a file durable and read-only, for this user alone, then moves it to its name: whoever finds the name finds all
 * bytes.
 *
 * @param temporary A complete file in the same file system as `path`.
 */
export async function moveDurably(temporary: string, path: string, mode = COMPLETE_MODE): Promise<void> {
  const file = await open(temporary, "r+");
  try {
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/** Writes a file so that a crash leaves either the old contents or the new ones at `path`. The caller removes `temporary` if this fails. */
export async function writeDurably(
  temporary: string,
  path: string,
  bytes: Uint8Array,
  mode = COMPLETE_MODE,
): Promise<void> {
  const file = await createPrivately(temporary);
  try {
    await file.writeFile(bytes);
  } finally {
    await file.close();
  }
  await moveDurably(temporary, path, mode);
}
