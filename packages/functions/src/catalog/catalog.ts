import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLOutputValue, type StatementSync } from "node:sqlite";
import { type Digest, type FileDigests, type FileIdentity, parseDigest } from "@firn/snapshots";
import { FunctionsError } from "../errors.ts";
import type { FunctionRecord } from "./function-record.ts";

/** Version of the tables, kept in `user_version`. */
const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE functions (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
  CREATE TABLE files (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, modified TEXT NOT NULL, inode TEXT NOT NULL, digest TEXT NOT NULL
  ) STRICT;
`;

/** The metadata of deployed functions, in SQLite. One process at a time has it open. */
export class Catalog implements FileDigests {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /**
   * Opens the catalog, and makes it if absent.
   *
   * @param path Path of the database file.
   * @throws {FunctionsError} FIRN_STORE_IN_USE if another process has it open, FIRN_STORE_FORMAT for another version.
   */
  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true });
    this.#database = new DatabaseSync(path, { timeout: 0 });
    try {
      this.#prepare(path);
    } catch (error) {
      this.#database.close();
      if (error instanceof FunctionsError) throw error;
      if (/locked|busy/i.test(String(error))) {
        throw new FunctionsError(
          "FIRN_STORE_IN_USE",
          `${path} is open in another process. Stop that server first.`,
          {
            cause: error,
          },
        );
      }
      throw new FunctionsError(
        "FIRN_STORE_FORMAT",
        `${path} is no catalog that can be read: ${String(error)}`,
        {
          cause: error,
        },
      );
    }
  }

  #prepare(path: string): void {
    // The lock is the kernel's: it goes with the process, however that ends.
    this.#database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL; BEGIN EXCLUSIVE;");
    const version = this.#database.prepare("PRAGMA user_version").get()?.user_version;
    if (version === 0) this.#database.exec(`${SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION};`);
    else if (version !== SCHEMA_VERSION) {
      throw new FunctionsError(
        "FIRN_STORE_FORMAT",
        `${path} has version ${version}, this program needs version ${SCHEMA_VERSION}.`,
      );
    }
    this.#database.exec("COMMIT");
  }

  /** A function's record, or `undefined`. */
  find(name: string): FunctionRecord | undefined {
    const row = this.#statement("SELECT record FROM functions WHERE name = ?").get(name);
    return row === undefined ? undefined : decode(row.record);
  }

  /** All functions, by name. */
  list(): FunctionRecord[] {
    const rows = this.#statement("SELECT record FROM functions ORDER BY name").all();
    return rows.map((row) => decode(row.record));
  }

  /** Writes a record, durable when this returns. */
  put(record: FunctionRecord): void {
    this.#statement(
      "INSERT INTO functions VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET record = excluded.record",
    ).run(record.name, JSON.stringify(record));
  }

  /** Removes a record. */
  remove(name: string): void {
    this.#statement("DELETE FROM functions WHERE name = ?").run(name);
  }

  /** The digest of a file that has not changed since {@link rememberDigest}. */
  knownDigest(file: FileIdentity): Digest | undefined {
    const row = this.#statement(
      "SELECT digest FROM files WHERE path = ? AND size = ? AND modified = ? AND inode = ?",
    ).get(file.path, file.size, String(file.modified), String(file.inode));
    return row === undefined ? undefined : parseDigest(String(row.digest));
  }

  /** Keeps the digest of a file. */
  rememberDigest(file: FileIdentity, digest: Digest): void {
    this.#statement("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)").run(
      file.path,
      file.size,
      String(file.modified),
      String(file.inode),
      digest,
    );
  }

  /** A statement, prepared when it is first used: finding a function is part of every invocation. */
  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const prepared = this.#database.prepare(sql);
    this.#statements.set(sql, prepared);
    return prepared;
  }

  /** Closes the database. */
  close(): void {
    this.#database.close();
  }
}

function decode(record: SQLOutputValue | undefined): FunctionRecord {
  // Records of functions that were deployed before there were samples have none.
  return { samples: [], ...JSON.parse(String(record)) } as FunctionRecord;
}
