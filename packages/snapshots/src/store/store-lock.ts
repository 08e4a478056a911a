import { chmodSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { SnapshotError } from "../errors.ts";

/**
 * The one process that may write to a store. The lock is the kernel's: it goes with the process however that ends, and holds between
 * containers that share a folder, in which process ids say nothing.
 */
export class StoreLock {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** @param path Of the lock's file, which is made if absent and stays empty. @throws {SnapshotError} FIRN_STORE_IN_USE. */
  static take(path: string): StoreLock {
    // Only SQLite may open this file: whoever closes it drops the lock of all in its process.
    const database = new DatabaseSync(path, { timeout: 0 });
    try {
      database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;");
      chmodSync(path, 0o600);
      return new StoreLock(database);
    } catch (cause) {
      database.close();
      if (!/locked|busy/i.test(String(cause))) throw cause;
      const message = `${path} is held by another process, or was opened before in this one. Close that store first.`;
      throw new SnapshotError("FIRN_STORE_IN_USE", message, { cause });
    }
  }

  /** May be called more than once. */
  release(): void {
    if (this.#database.isOpen) this.#database.close();
  }
}
