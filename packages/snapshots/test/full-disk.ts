// On a file system of its own at argv[2], of a few MiB: fills it, deletes on it, and says what happened.
import { open, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Store } from "../src/store/store.ts";
import { exampleConfig, publishExample } from "./snapshots.ts";

const [, , root = ""] = process.argv;
const MIB = 1024 * 1024;
const code = (error: unknown) => (error as { code?: unknown }).code;

const database = new DatabaseSync(join(root, "catalog.sqlite"));
database.exec("PRAGMA journal_mode = WAL; CREATE TABLE functions (name TEXT PRIMARY KEY, snapshot TEXT)");
const names = () =>
  database.prepare("SELECT snapshot FROM functions").all() as { snapshot: `sha256:${string}` }[];
const folder = join(root, "store");
const catalog = () => ({ snapshots: names().map(({ snapshot }) => snapshot) });
const store = await Store.open(folder, { catalog });
for (const name of ["a", "b"]) {
  const { digest } = await publishExample(store, name.repeat(MIB / 2), exampleConfig());
  database.prepare("INSERT INTO functions VALUES (?, ?)").run(name, digest);
}
const [memoryPath, statePath] = [store.temporaryPath("memory"), store.temporaryPath("state")];
await writeFile(memoryPath, "c".repeat(MIB / 2));
await writeFile(statePath, "state");
const filler = await open(join(root, "filler"), "w");
for (const size of [MIB, 64 * 1024, 4096, 512, 1]) {
  for (;;) if ((await filler.write(Buffer.alloc(size)).catch(() => undefined)) === undefined) break;
}
const published = await store.publish({ config: exampleConfig(), memoryPath, statePath }).catch(code);
const leftovers = await readdir(join(folder, "tmp"));
const plainWrite = await writeFile(join(root, "more"), "more").catch(code);
await store.freeing(() => database.exec("DELETE FROM functions WHERE name = 'a'"));
const { freedBytes, doubts, removedManifests } = await store.collectGarbage();
const [left] = names();
await store.verify(left?.snapshot ?? "sha256:");
const again = await publishExample(store, "d", exampleConfig()).then(() => "published", code);
store.close();
await Store.open(folder);
console.log(
  JSON.stringify({
    published,
    leftovers,
    plainWrite,
    freedBytes,
    doubts,
    removed: removedManifests.length,
    again,
  }),
);
