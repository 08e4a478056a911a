import type { DatabaseSync } from "node:sqlite";
import { FunctionsError } from "../errors.ts";

/**
 * What makes a database of number n one of number n + 1, oldest first. One that has run anywhere is never changed: what comes
 * next is a new one at the end, and a database of the number before it in `test/catalogs`.
 */
export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE functions (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
   CREATE TABLE files (
     path TEXT PRIMARY KEY, size INTEGER NOT NULL, modified TEXT NOT NULL, inode TEXT NOT NULL, digest TEXT NOT NULL
   ) STRICT;`,

  `ALTER TABLE functions RENAME TO records;
   CREATE TABLE functions (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     name TEXT NOT NULL UNIQUE,
     newest INTEGER NOT NULL,
     serving INTEGER
   ) STRICT;
   CREATE TABLE versions (
     function INTEGER NOT NULL REFERENCES functions (id) ON DELETE CASCADE,
     number INTEGER NOT NULL,
     contents TEXT NOT NULL,
     accepted TEXT NOT NULL,
     PRIMARY KEY (function, number)
   ) STRICT;
   CREATE TABLE snapshots (
     function INTEGER NOT NULL,
     version INTEGER NOT NULL,
     host TEXT NOT NULL,
     agent_abi INTEGER NOT NULL,
     digest TEXT NOT NULL,
     PRIMARY KEY (function, version, host, agent_abi),
     FOREIGN KEY (function, version) REFERENCES versions (function, number) ON DELETE CASCADE
   ) STRICT;
   CREATE TABLE aliases (
     function INTEGER NOT NULL,
     name TEXT NOT NULL,
     version INTEGER NOT NULL,
     PRIMARY KEY (function, name),
     FOREIGN KEY (function, version) REFERENCES versions (function, number)
   ) STRICT;
   CREATE TABLE deploys (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     function INTEGER NOT NULL,
     version INTEGER NOT NULL,
     state TEXT NOT NULL CHECK (state IN ('pending', 'done', 'failed')),
     failure TEXT,
     FOREIGN KEY (function) REFERENCES functions (id) ON DELETE CASCADE
   ) STRICT;
   CREATE UNIQUE INDEX deploys_of_function ON deploys (function);

   INSERT INTO functions (name, newest, serving)
     SELECT name, record ->> 'revision', iif(record ->> 'state' = 'Active', record ->> 'revision', NULL)
     FROM records ORDER BY name;
   INSERT INTO versions (function, number, contents, accepted)
     SELECT id, newest, json_object(
       'runtime', 'node24',
       'wantedEntry', record ->> 'entry',
       'handler', record ->> 'handler',
       'environment', record -> 'environment',
       'memoryMib', record -> 'memoryMib',
       'timeoutMs', record -> 'timeoutMs',
       'readyTimeoutMs', record -> 'readyTimeoutMs',
       'code', json_object('digest', record ->> '$.app.digest', 'size', record ->> '$.app.size'),
       'app', record -> 'app',
       'entry', record ->> 'entry',
       'samples', json(coalesce(record -> 'samples', '[]'))
     ), record ->> 'updated'
     FROM functions JOIN records USING (name);
   INSERT INTO deploys (function, version, state, failure)
     SELECT id, newest,
       CASE
         WHEN record ->> 'state' = 'Pending' THEN 'pending'
         WHEN record ->> 'failure' IS NULL THEN 'done'
         ELSE 'failed'
       END,
       nullif(record -> 'failure', 'null')
     FROM functions JOIN records USING (name);
   DROP TABLE records;`,

  "ALTER TABLE snapshots ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]';",
];

/**
 * Brings a database to the newest number, in the transaction that the caller has begun.
 *
 * @param migrations Those to apply; a test stops at an older number.
 * @throws {FunctionsError} FIRN_STORE_FORMAT if the database is newer than this program.
 */
export function migrate(database: DatabaseSync, path: string, migrations = MIGRATIONS): void {
  const found = Number(database.prepare("PRAGMA user_version").get()?.user_version);
  if (found > migrations.length) {
    throw new FunctionsError(
      "FIRN_STORE_FORMAT",
      `${path} has version ${found}, this program knows up to ${migrations.length}. Use the newer Firn that wrote it.`,
    );
  }
  for (const migration of migrations.slice(found)) database.exec(migration);
  database.exec(`PRAGMA user_version = ${migrations.length}`);
}
