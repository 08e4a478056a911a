import { randomBytes } from "node:crypto";
import { rm, stat } from "node:fs/promises";
import { createPrivately } from "./durable-file.ts";

/** Room for an index, a transaction of a catalog, and their folders' blocks. */
const RESERVE_BYTES = 1024 * 1024;

/** A file that is there to be deleted: what frees a full disk has to write a little itself. */
export class DiskReserve {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Sets the room aside, if it is not yet. That there is none is no error. */
  async fill(): Promise<void> {
    const found = await stat(this.#path).catch(() => undefined);
    if (found?.size === RESERVE_BYTES) return;
    await rm(this.#path, { force: true });
    try {
      const file = await createPrivately(this.#path);
      try {
        // No zeros, which a file system might not store.
        await file.writeFile(randomBytes(RESERVE_BYTES));
        await file.sync();
      } finally {
        await file.close();
      }
    } catch {
      await rm(this.#path, { force: true });
    }
  }

  /** Does something that will free room. If the disk is too full for it, gives up the reserve and does it again. */
  async spend<T>(task: () => T | Promise<T>): Promise<T> {
    try {
      return await task();
    } catch (error) {
      if (!isFull(error)) throw error;
      await rm(this.#path, { force: true });
      return await task();
    }
  }
}

const SQLITE_FULL = 13;

/** Whether an error says that the disk, or this user's share of it, is full. */
function isFull(error: unknown): boolean {
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  return code === "ENOSPC" || code === "EDQUOT" || errcode === SQLITE_FULL;
}
