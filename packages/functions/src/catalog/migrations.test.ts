import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Catalog } from "./catalog.ts";
import { MIGRATIONS } from "./migrations.ts";

const CATALOGS = join(import.meta.dirname, "..", "..", "test", "catalogs");
const PLACE = { host: "this host", agentAbi: 1 };

let root: string;
let path: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-migrations-"));
  path = join(root, "functions.sqlite");
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function write(number: number): Promise<void> {
  const database = new DatabaseSync(path);
  database.exec(await readFile(join(CATALOGS, `${number}.sql`), "utf8"));
  database.close();
}

/** The tables of a database, without the white space of the statements that made them. */
function tables(): unknown[] {
  const database = new DatabaseSync(path);
  const rows = database.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").all();
  database.close();
  return rows.map(({ name, sql }) => [name, sql === null ? null : String(sql).replace(/\s|"/g, "")]);
}

describe("migrate()", () => {
  it("has a database of every number to be tested with", async () => {
    const numbers = MIGRATIONS.map((_, index) => `${index + 1}.sql`);
    expect((await readdir(CATALOGS)).sort()).toEqual(numbers.sort());
  });

  it.each(MIGRATIONS.map((_, index) => index + 1))(
    "makes of a database of number %i the same tables as of none",
    async (number) => {
      new Catalog(path, PLACE).close();
      const wanted = tables();
      await rm(path);
      await write(number);
      const catalog = new Catalog(path, PLACE);
      expect(catalog.find("active")).toMatchObject({ name: "active", version: 4, environment: { A: "1" } });
      const image = { path: "/image", size: 5, modified: 1_700_000_000_123_456_789n, inode: 7n };
      expect(catalog.knownDigest(image)).toMatch(/^sha256:6105/);
      catalog.close();
      expect(tables()).toEqual(wanted);
    },
  );

  it("keeps functions, settings and states of number 1", async () => {
    await write(1);
    const catalog = new Catalog(path, PLACE);
    const common = { snapshot: null, runtime: "node24", wantedEntry: "index.js", entry: "index.js" };
    expect(catalog.list()).toMatchObject([
      { ...common, name: "active", state: "Active", update: "Successful", version: 4 },
      { ...common, name: "failed", state: "Failed", update: "Failed", failure: { message: "boom" } },
      { ...common, name: "pending", state: "Pending", update: "InProgress", failure: null },
    ]);
    expect(catalog.find("active")?.samples).toEqual([{ event: { name: "Ada" } }]);
    expect(catalog.find("failed")?.samples).toEqual([]);
    expect(catalog.pending().map(({ name }) => name)).toEqual(["pending"]);
    catalog.close();
  });

  it.each([
    [2, []],
    [3, [{ code: "FIRN_CHILD_PROCESS", message: "A child process runs." }]],
  ])("keeps what number %i says", async (number, warnings) => {
    await write(number);
    const catalog = new Catalog(path, PLACE);
    expect(catalog.find("active")).toMatchObject({
      id: 7,
      version: 4,
      entry: "index.js",
      state: "Active",
      update: "InProgress",
      snapshot: expect.stringMatching(/^sha256:fcde/),
      warnings,
    });
    expect(catalog.pending()).toMatchObject([{ id: 7, version: 5, entry: "index.mjs", snapshot: null }]);
    catalog.close();
  });

  it("leaves a newer database alone, and says so", async () => {
    const database = new DatabaseSync(path);
    database.exec("CREATE TABLE future (a); PRAGMA user_version = 99;");
    database.close();
    const refused = expect.objectContaining({
      code: "FIRN_STORE_FORMAT",
      message: expect.stringContaining("99"),
    });
    expect(() => new Catalog(path, PLACE)).toThrow(refused);
    expect(tables()).toEqual([["future", "CREATETABLEfuture(a)"]]);
  });
});
