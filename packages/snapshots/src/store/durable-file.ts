import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** Makes the entries of a folder durable: files that were renamed into it survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * Makes the contents of a file durable and read-only, then moves it to its name: whoever finds the name finds all bytes.
 *
 * @param temporary A complete file in the same file system as `path`.
 */
export async function moveDurably(temporary: string, path: string, mode = 0o444): Promise<void> {
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

/** Writes a file so that a crash leaves either the old contents or the new ones at `path`. */
export async function writeDurably(
  temporary: string,
  path: string,
  bytes: Uint8Array,
  mode = 0o644,
): Promise<void> {
  const file = await open(temporary, "wx", 0o600);
  try {
    await file.writeFile(bytes);
  } finally {
    await file.close();
  }
  await moveDurably(temporary, path, mode);
}
