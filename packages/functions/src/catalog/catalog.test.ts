import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { digestOfText } from "../../../snapshots/test/snapshots.ts";
import { Catalog } from "./catalog.ts";
import { memoryClassBytes, type VersionContents } from "./function-record.ts";

const PLACE = { host: "this host", agentAbi: 1 };
const SNAPSHOT = digestOfText("manifest");

let root: string;
let path: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-catalog-"));
  path = join(root, "store", "functions.sqlite");
});
afterEach(() => rm(root, { recursive: true, force: true }));

const contents: VersionContents = {
  runtime: "node24",
  code: { digest: digestOfText("zip"), size: 9 },
  app: { mediaType: "application/vnd.firn.app.v1.erofs", digest: digestOfText("app"), size: 3 },
  wantedEntry: null,
  wantedWarm: null,
  server: null,
  wantedServer: null,
  warm: null,
  entry: "index.js",
  samples: [{ event: { name: "Ada" } }],
  snapshotEnvironment: false,
  handler: "default",
  environment: { GREETING: "grüezi" },
  memoryMib: 256,
  timeoutMs: 3000,
  readyTimeoutMs: 10_000,
  annotations: { note: "mine" },
};
const warning = { code: "FIRN_CHILD_PROCESS", message: "A child process runs." };
const failure = { code: "FIRN_FUNCTION_IMPORT", message: "boom", stack: "at index.js" };

/** Opens the catalog, uses it, and closes it again. */
function using<T>(use: (catalog: Catalog) => T, place = PLACE): T {
  const catalog = new Catalog(path, place);
  try {
    return use(catalog);
  } finally {
    catalog.close();
  }
}

describe("Catalog", () => {
  it("holds what it was told when it is opened again", () => {
    const before = using((catalog) => {
      catalog.activate(catalog.accept("hello", contents), SNAPSHOT, [warning]);
      catalog.accept("another", contents);
      catalog.fail(catalog.accept("broken", contents), failure);
      return catalog.list();
    });
    expect(before).toMatchObject([
      { ...contents, name: "another", version: 1, state: "Pending", update: "InProgress", snapshot: null },
      { ...contents, name: "broken", version: 1, state: "Failed", update: "Failed", failure },
      {
        ...{ ...contents, name: "hello", version: 1, state: "Active", update: "Successful" },
        ...{ snapshot: SNAPSHOT, warnings: [warning] },
      },
    ]);
    expect(using((catalog) => catalog.list())).toEqual(before);
    expect(using((catalog) => catalog.pending().map(({ name }) => name))).toEqual(["another"]);
  });

  it("lets a version serve until the next one does", () => {
    using((catalog) => {
      const first = catalog.accept("hello", contents);
      catalog.activate(first, SNAPSHOT);
      const second = catalog.accept("hello", { ...contents, entry: "index.mjs" });
      expect([second.id, second.version]).toEqual([first.id, 2]);
      expect(catalog.find("hello")).toMatchObject({ version: 1, state: "Active", update: "InProgress" });
      expect(catalog.newest("hello")).toMatchObject({ version: 2, state: "Active", update: "InProgress" });
      const next = digestOfText("next manifest");
      expect(catalog.activate(second, next)?.unused).toEqual([SNAPSHOT]);
      expect(catalog.find("hello")).toMatchObject({ version: 2, update: "Successful", snapshot: next });
      expect(catalog.roots()).toEqual({ apps: [contents.app.digest], snapshots: [next] });
    });
  });

  it("keeps the version that serves when an update fails", () => {
    using((catalog) => {
      catalog.activate(catalog.accept("hello", contents), SNAPSHOT);
      catalog.fail(catalog.accept("hello", contents), failure);
      expect(catalog.find("hello")).toMatchObject({ version: 1, state: "Active", update: "Failed", failure });
    });
  });

  it("keeps a deploy done when its snapshot cannot be made again", () => {
    using((catalog) => {
      const record = catalog.accept("hello", contents);
      catalog.activate(record, SNAPSHOT);
      catalog.fail(record, failure);
      expect(catalog.find("hello")).toMatchObject({ update: "Successful", failure: null });
    });
  });

  it("never gives an id or a version a second time", () => {
    const first = using((catalog) => {
      const record = catalog.accept("hello", contents);
      expect(catalog.remove(record)).toEqual([]);
      expect(catalog.find("hello")).toBeUndefined();
      return record;
    });
    using((catalog) => {
      const second = catalog.accept("hello", contents);
      expect(second.id).toBeGreaterThan(first.id);
      expect(catalog.activate(first, SNAPSHOT)).toBeUndefined();
      catalog.fail(first, failure);
      catalog.remove(first);
      expect(catalog.find("hello")).toEqual(second);
    });
  });

  it("tells which snapshots are of no more use, those that others share apart", () => {
    using((catalog) => {
      const one = catalog.accept("one", contents);
      const other = catalog.accept("other", contents);
      catalog.activate(one, SNAPSHOT);
      catalog.activate(other, SNAPSHOT);
      expect(catalog.remove(one)).toEqual([]);
      expect(catalog.remove(other)).toEqual([SNAPSHOT]);
    });
  });

  it("has snapshots by host and agent", () => {
    using((catalog) => catalog.activate(catalog.accept("hello", contents), SNAPSHOT));
    for (const place of [
      { host: "another host", agentAbi: 1 },
      { host: "this host", agentAbi: 2 },
    ]) {
      using((catalog) => {
        expect(catalog.find("hello")).toMatchObject({ state: "Active", snapshot: null });
        expect(catalog.roots().snapshots).toContain(SNAPSHOT);
      }, place);
    }
    expect(using((catalog) => catalog.find("hello")?.snapshot)).toBe(SNAPSHOT);
  });

  it("holds an accepted deploy when its process is killed", () => {
    const script = `
      const { Catalog } = await import(${JSON.stringify(new URL("./catalog.ts", import.meta.url).href)});
      const catalog = new Catalog(${JSON.stringify(path)}, ${JSON.stringify(PLACE)});
      catalog.activate(catalog.accept("hello", ${JSON.stringify(contents)}), "${SNAPSHOT}");
      catalog.accept("hello", ${JSON.stringify(contents)});
      process.kill(process.pid, "SIGKILL");`;
    const run = () =>
      execFileSync(process.execPath, ["--conditions=firn-source", "--input-type=module", "-e", script], {
        stdio: "ignore",
      });
    expect(run).toThrow();
    using((catalog) => {
      expect(catalog.find("hello")).toMatchObject({ version: 1, snapshot: SNAPSHOT });
      expect(catalog.pending()).toMatchObject([{ name: "hello", version: 2 }]);
    });
  });

  it("changes nothing when a change fails half way", () => {
    using((catalog) => {
      const record = catalog.accept("hello", contents);
      expect(() => catalog.activate(record, undefined as unknown as typeof SNAPSHOT)).toThrow();
      expect(catalog.find("hello")).toEqual(record);
      expect(catalog.activate(record, SNAPSHOT)?.record).toMatchObject({ state: "Active" });
    });
  });

  it("keeps its files to their owner", async () => {
    const catalog = new Catalog(path, PLACE);
    catalog.accept("hello", contents);
    const files = await readdir(join(root, "store"));
    expect(files).toContain("functions.sqlite-wal");
    for (const file of files) expect((await stat(join(root, "store", file))).mode & 0o777).toBe(0o600);
    expect((await stat(join(root, "store"))).mode & 0o777).toBe(0o700);
    catalog.close();
  });

  it("says FIRN_STORE_IN_USE while another has it open", () => {
    const first = new Catalog(path, PLACE);
    expect(() => new Catalog(path, PLACE)).toThrow(expect.objectContaining({ code: "FIRN_STORE_IN_USE" }));
    first.close();
    new Catalog(path, PLACE).close();
  });

  it("says FIRN_STORE_FORMAT for a file that is no database", async () => {
    new Catalog(path, PLACE).close();
    await writeFile(path, "no database ".repeat(1000));
    expect(() => new Catalog(path, PLACE)).toThrow(expect.objectContaining({ code: "FIRN_STORE_FORMAT" }));
  });

  it("knows a file's digest until the file changes", () => {
    using((catalog) => {
      const file = { path: "/image", size: 5, modified: 1_700_000_000_123_456_789n, inode: 7n };
      catalog.rememberDigest(file, digestOfText("image"));
      expect(catalog.knownDigest(file)).toBe(digestOfText("image"));
      expect(catalog.knownDigest({ ...file, modified: file.modified + 1n })).toBeUndefined();
      expect(catalog.knownDigest({ ...file, inode: 8n })).toBeUndefined();
    });
  });
});

describe("memoryClassBytes()", () => {
  it("rounds up to the next class, and refuses what is above all", () => {
    expect([1, 128, 129, 300, 2048].map((mib) => memoryClassBytes(mib) / 1024 / 1024)).toEqual([
      128, 128, 256, 512, 2048,
    ]);
    for (const bad of [0, -1, 2049, Number.NaN]) {
      expect(() => memoryClassBytes(bad)).toThrow(
        expect.objectContaining({ code: "FIRN_INVALID_PARAMETER" }),
      );
    }
  });
});
