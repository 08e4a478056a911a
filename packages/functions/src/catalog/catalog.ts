import type { Warning } from "@firn/protocol";
import { type Digest, type FileDigests, type FileIdentity, parseDigest } from "@firn/snapshots";
import { Database, type Row } from "./database.ts";
import type { DeployFailure, FunctionRecord, VersionContents } from "./function-record.ts";

/** What a snapshot fits: a version has one for each host and agent on which it was made. */
export interface SnapshotPlace {
  /** Says which hosts are alike. */
  readonly host: string;
  readonly agentAbi: number;
}

/** A function as it is in memory: parsed once, and again when it changes. */
interface Entry {
  readonly serving: FunctionRecord | undefined;
  readonly newest: FunctionRecord;
}

/**
 * The functions, their versions, snapshots and deploys, in SQLite. Reading is from memory; every change is one transaction and
 * durable when its method returns.
 */
export class Catalog implements FileDigests {
  readonly #database: Database;
  readonly #place: SnapshotPlace;
  readonly #entries = new Map<string, Entry>();

  /**
   * Opens the catalog, and makes it if absent.
   *
   * @param path Path of the database file.
   * @throws {FunctionsError} FIRN_STORE_IN_USE if another process has it open, FIRN_STORE_FORMAT if it is newer or no database.
   */
  constructor(path: string, place: SnapshotPlace) {
    this.#database = new Database(path);
    this.#place = place;
    for (const row of this.#database.all("SELECT id FROM functions")) this.#load(Number(row.id));
  }

  /** The version of a function that serves, or the newest one if none does. */
  find(name: string): FunctionRecord | undefined {
    const entry = this.#entries.get(name);
    return entry?.serving ?? entry?.newest;
  }

  /** The version of a function that was accepted last, whether it serves or not. */
  newest(name: string): FunctionRecord | undefined {
    return this.#entries.get(name)?.newest;
  }

  /** All functions as {@link find} gives them, by name. */
  list(): FunctionRecord[] {
    return [...this.#entries.values()]
      .map(({ serving, newest }) => serving ?? newest)
      .sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  /** The versions whose deploy was accepted and has not ended. */
  pending(): FunctionRecord[] {
    return [...this.#entries.values()]
      .map(({ newest }) => newest)
      .filter(({ update }) => update === "InProgress");
  }

  /** What the catalog's functions need of the store: app images, and snapshots for whatever host. */
  roots(): { apps: Digest[]; snapshots: Digest[] } {
    const apps = this.#database.all("SELECT contents ->> '$.app.digest' AS digest FROM versions");
    const snapshots = this.#database.all("SELECT digest FROM snapshots");
    return { apps: digests(apps), snapshots: digests(snapshots) };
  }

  /** Accepts a deploy: from now on it is not lost. The function is made if there is none of that name. */
  accept(name: string, contents: VersionContents): FunctionRecord {
    const database = this.#database;
    const id = database.transaction(() => {
      const { id, newest } = database.get(
        `INSERT INTO functions (name, newest) VALUES (?, 1)
         ON CONFLICT (name) DO UPDATE SET newest = newest + 1 RETURNING id, newest`,
        name,
      ) as { id: number; newest: number };
      database.run(
        "INSERT INTO versions VALUES (?, ?, ?, ?)",
        id,
        newest,
        JSON.stringify(contents),
        new Date().toISOString(),
      );
      database.run("DELETE FROM deploys WHERE function = ?", id);
      database.run("INSERT INTO deploys (function, version, state) VALUES (?, ?, 'pending')", id, newest);
      this.#prune(id);
      return id;
    });
    this.#load(id);
    return this.newest(name) as FunctionRecord;
  }

  /**
   * Notes a version's snapshot; if the version's deploy is under way or had failed, it serves from now on.
   *
   * @param warnings What clones of the snapshot will share although they should not.
   * @returns The record, and snapshots that are of no more use; or `undefined` if the version is gone.
   */
  activate(
    { id, name, version }: FunctionRecord,
    snapshot: Digest,
    warnings: readonly Warning[] = [],
  ): { record: FunctionRecord; unused: Digest[] } | undefined {
    const database = this.#database;
    const unused = database.transaction(() => {
      const known = database.get("SELECT 1 FROM versions WHERE function = ? AND number = ?", id, version);
      if (known === undefined) return undefined;
      const before = this.#snapshotsOf(id);
      const { host, agentAbi } = this.#place;
      database.run(
        "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?, ?)",
        id,
        version,
        host,
        agentAbi,
        snapshot,
        JSON.stringify(warnings),
      );
      database.run("UPDATE functions SET serving = ? WHERE id = ? AND newest = ?", version, id, version);
      database.run(
        "UPDATE deploys SET state = 'done', failure = NULL WHERE function = ? AND version = ?",
        id,
        version,
      );
      this.#prune(id);
      return this.#withoutRow(before);
    });
    if (unused === undefined) return undefined;
    this.#load(id);
    return { record: this.find(name) as FunctionRecord, unused };
  }

  /** Notes that a version's deploy has failed, unless it is done. The version that serves goes on. */
  fail({ id, version }: FunctionRecord, failure: DeployFailure): void {
    const sql = `UPDATE deploys SET state = 'failed', failure = ?
      WHERE function = ? AND version = ? AND state <> 'done'`;
    this.#database.transaction(() => this.#database.run(sql, JSON.stringify(failure), id, version));
    this.#load(id);
  }

  /** Removes a function with all of its versions. @returns Snapshots that are of no more use. */
  remove({ id, name }: FunctionRecord): Digest[] {
    const unused = this.#database.transaction(() => {
      const before = this.#snapshotsOf(id);
      this.#database.run("DELETE FROM aliases WHERE function = ?", id);
      this.#database.run("DELETE FROM functions WHERE id = ?", id);
      return this.#withoutRow(before);
    });
    if (this.newest(name)?.id === id) this.#entries.delete(name);
    return unused;
  }

  /** The digest of a file that has not changed since {@link rememberDigest}. */
  knownDigest(file: FileIdentity): Digest | undefined {
    const sql = "SELECT digest FROM files WHERE path = ? AND size = ? AND modified = ? AND inode = ?";
    const row = this.#database.get(sql, file.path, file.size, String(file.modified), String(file.inode));
    return row === undefined ? undefined : parseDigest(String(row.digest));
  }

  /** Keeps the digest of a file. */
  rememberDigest(file: FileIdentity, digest: Digest): void {
    const sql = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)";
    this.#database.run(sql, file.path, file.size, String(file.modified), String(file.inode), digest);
  }

  /** Closes the database. */
  close(): void {
    this.#database.close();
  }

  /** Drops the versions that neither serve nor are the newest, nor have an alias. */
  #prune(id: number): void {
    this.#database.run(
      `DELETE FROM versions WHERE function = ?
         AND number NOT IN (SELECT newest FROM functions WHERE id = versions.function)
         AND number NOT IN (SELECT serving FROM functions WHERE id = versions.function AND serving IS NOT NULL)
         AND number NOT IN (SELECT version FROM aliases WHERE function = versions.function)`,
      id,
    );
  }

  #snapshotsOf(id: number): Digest[] {
    return digests(this.#database.all("SELECT DISTINCT digest FROM snapshots WHERE function = ?", id));
  }

  /** Those of the snapshots that no version of any function has. */
  #withoutRow(snapshots: readonly Digest[]): Digest[] {
    const sql = "SELECT 1 FROM snapshots WHERE digest = ? LIMIT 1";
    return snapshots.filter((digest) => this.#database.get(sql, digest) === undefined);
  }

  /** Reads a function into memory. */
  #load(id: number): void {
    const { host, agentAbi } = this.#place;
    const rows = this.#database.all(
      `SELECT functions.id, name, number, serving, contents, accepted, state, failure, digest, warnings
       FROM functions
       JOIN versions ON versions.function = functions.id AND number IN (newest, serving)
       JOIN deploys ON deploys.function = functions.id
       LEFT JOIN snapshots ON snapshots.function = functions.id AND snapshots.version = number AND host = ? AND agent_abi = ?
       WHERE functions.id = ? ORDER BY number`,
      host,
      agentAbi,
      id,
    );
    const records = rows.map(decode);
    const newest = records.at(-1);
    if (newest === undefined) return;
    const serving = records.find(({ version }) => version === rows[0]?.serving);
    this.#entries.set(newest.name, { serving, newest });
  }
}

function digests(rows: readonly Row[]): Digest[] {
  return rows.map(({ digest }) => parseDigest(String(digest)));
}

const UPDATES = { pending: "InProgress", done: "Successful", failed: "Failed" } as const;

function decode(row: Row): FunctionRecord {
  // Versions of databases of old do not have all of them.
  type Later = "annotations" | "snapshotEnvironment" | "warm" | "wantedWarm" | "server" | "wantedServer";
  const contents = JSON.parse(String(row.contents)) as Omit<VersionContents, Later> &
    Partial<VersionContents>;
  const update = UPDATES[row.state as keyof typeof UPDATES];
  const waiting = update === "InProgress" ? "Pending" : "Failed";
  return {
    ...contents,
    annotations: contents.annotations ?? {},
    snapshotEnvironment: contents.snapshotEnvironment ?? false,
    warm: contents.warm ?? null,
    wantedWarm: contents.wantedWarm ?? null,
    server: contents.server ?? null,
    wantedServer: contents.wantedServer ?? null,
    id: Number(row.id),
    name: String(row.name),
    version: Number(row.number),
    state: row.serving === null ? waiting : "Active",
    update,
    failure: row.failure === null ? null : (JSON.parse(String(row.failure)) as DeployFailure),
    snapshot: row.digest === null ? null : parseDigest(String(row.digest)),
    warnings: JSON.parse(String(row.warnings ?? "[]")) as Warning[],
    updated: String(row.accepted),
  };
}
