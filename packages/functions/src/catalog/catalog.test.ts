import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { digestOfText } from "../../../snapshots/test/snapshots.ts";
import { Catalog } from "./catalog.ts";
import { type FunctionRecord, memoryClassBytes } from "./function-record.ts";

let root: string;
let path: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-catalog-"));
  path = join(root, "store", "functions.sqlite");
});
afterEach(() => rm(root, { recursive: true, force: true }));

const record: FunctionRecord = {
  name: "hello",
  app: { mediaType: "application/vnd.firn.app.v1.erofs", digest: digestOfText("app"), size: 3 },
  entry: "index.js",
  samples: [{ event: { name: "Ada" } }],
  handler: "default",
  environment: { GREETING: "grüezi" },
  memoryMib: 256,
  timeoutMs: 3000,
  readyTimeoutMs: 10_000,
  state: "Active",
  failure: null,
  snapshot: digestOfText("manifest"),
  revision: 1,
  updated: "2026-01-02T03:04:05.678Z",
};

describe("Catalog", () => {
  it("holds its records when it is opened again", () => {
    const first = new Catalog(path);
    first.put({ ...record, state: "Pending" });
    first.put(record);
    first.put({ ...record, name: "another" });
    first.close();
    const second = new Catalog(path);
    expect(second.find("hello")).toEqual(record);
    expect(second.list().map(({ name }) => name)).toEqual(["another", "hello"]);
    second.remove("hello");
    expect(second.find("hello")).toBeUndefined();
    second.close();
  });

  it("holds its records when its process is killed", () => {
    const script = `
      const { Catalog } = await import(${JSON.stringify(new URL("./catalog.ts", import.meta.url).href)});
      new Catalog(${JSON.stringify(path)}).put(${JSON.stringify(record)});
      process.kill(process.pid, "SIGKILL");`;
    const run = () =>
      execFileSync(process.execPath, ["--conditions=firn-source", "--input-type=module", "-e", script], {
        stdio: "ignore",
      });
    expect(run).toThrow();
    const catalog = new Catalog(path);
    expect(catalog.find("hello")).toEqual(record);
    catalog.close();
  });

  it("says FIRN_STORE_IN_USE while another has it open", () => {
    const first = new Catalog(path);
    expect(() => new Catalog(path)).toThrow(expect.objectContaining({ code: "FIRN_STORE_IN_USE" }));
    first.close();
    new Catalog(path).close();
  });

  it("says FIRN_STORE_FORMAT for a file that is no database", async () => {
    new Catalog(path).close();
    await writeFile(path, "no database ".repeat(1000));
    expect(() => new Catalog(path)).toThrow(expect.objectContaining({ code: "FIRN_STORE_FORMAT" }));
  });

  it("knows a file's digest until the file changes", () => {
    const catalog = new Catalog(path);
    const file = { path: "/image", size: 5, modified: 1_700_000_000_123_456_789n, inode: 7n };
    catalog.rememberDigest(file, digestOfText("image"));
    expect(catalog.knownDigest(file)).toBe(digestOfText("image"));
    expect(catalog.knownDigest({ ...file, modified: file.modified + 1n })).toBeUndefined();
    expect(catalog.knownDigest({ ...file, inode: 8n })).toBeUndefined();
    catalog.close();
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
