import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from "node:sqlite";
import { FunctionsError } from "../errors.ts";
import { migrate } from "./migrations.ts";

/** A row as SQLite gives it. */
export type Row = Record<string, SQLOutputValue>;

/** The catalog's database file: one process at a time has it open, and only its owner can read it. */
export class Database {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /**
   * Opens the file, makes it if absent, and brings its tables to the newest number.
   *
   * @throws {FunctionsError} FIRN_STORE_IN_USE if another process has it open, FIRN_STORE_FORMAT if it is newer or no database.
   */
  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // Environments may hold secrets. SQLite gives its other files the mode of this one.
    closeSync(openSync(path, "a", 0o600));
    chmodSync(path, 0o600);
    this.#database = new DatabaseSync(path, { timeout: 0 });
    try {
      this.#prepare(path);
    } catch (error) {
      this.#database.close();
      throw describe(path, error);
    }
  }

  #prepare(path: string): void {
    // The lock is the kernel's: it goes with the process, however that ends.
    this.#database.exec(`
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA foreign_keys = OFF;
      BEGIN EXCLUSIVE;`);
    migrate(this.#database, path);
    this.#database.exec("COMMIT; PRAGMA foreign_keys = ON;");
  }

  /** Runs changes as one transaction, durable when this returns: all of them, or none if one throws. */
  transaction<T>(changes: () => T): T {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const result = changes();
      this.#database.exec("COMMIT");
      return result;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  run(sql: string, ...values: SQLInputValue[]): void {
    this.#statement(sql).run(...values);
  }

  get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#statement(sql).get(...values);
  }

  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#statement(sql).all(...values);
  }

  close(): void {
    this.#database.close();
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const prepared = this.#database.prepare(sql);
    this.#statements.set(sql, prepared);
    return prepared;
  }
}

function describe(path: string, cause: unknown): FunctionsError {
  if (cause instanceof FunctionsError) return cause;
  if (/locked|busy/i.test(String(cause))) {
    const message = `${path} is open in another process. Stop that server first.`;
    return new FunctionsError("FIRN_STORE_IN_USE", message, { cause });
  }
  const message = `${path} is no catalog that can be read: ${String(cause)}. Restore it from a copy, or move it away to begin anew.`;
  return new FunctionsError("FIRN_STORE_FORMAT", message, { cause });
}
