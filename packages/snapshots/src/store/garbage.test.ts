import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exampleConfig, publishExample } from "../../test/snapshots.ts";
import type { Digest } from "./digest.ts";
import { type CatalogRoots, type Doubt, describeDoubt } from "./garbage.ts";
import { MEDIA_TYPE } from "./media-types.ts";
import { Store } from "./store.ts";

let root: string;
let store: Store;
let catalog: CatalogRoots;
let doubts: readonly Doubt[];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-garbage-"));
  catalog = {};
  doubts = [];
  await open();
});
afterEach(async () => {
  store.close();
  await rm(root, { recursive: true, force: true });
});

async function open(): Promise<void> {
  store?.close();
  store = await Store.open(root, { catalog: () => catalog, onDoubts: (found) => (doubts = found) });
}

/** A base, a diff on top of it, and its working set. */
async function chain() {
  const app = await store.blobs.add(Buffer.from("app image"), MEDIA_TYPE.app);
  const base = await publishExample(store, "base memory");
  const config = exampleConfig({ kind: "diff", parent: base.digest, appImage: app.digest });
  const diff = await publishExample(store, "diff memory", config, app);
  const path = store.temporaryPath("working-set");
  await writeFile(path, "ranges");
  await store.addWorkingSet(diff, path);
  return { app, base, diff };
}

async function overwrite(digest: Digest, contents: string): Promise<void> {
  const path = store.blobs.pathOf(digest);
  await chmod(path, 0o600);
  await writeFile(path, contents);
}

const digests = async () => new Set((await store.blobs.list()).map(({ digest }) => digest));

describe("Store.collectGarbage()", () => {
  it("removes a base and a diff that nothing names, and all that belongs to them", async () => {
    const { base, diff } = await chain();
    const { freedBytes, removedManifests, doubts } = await store.collectGarbage();
    expect(removedManifests).toEqual(expect.arrayContaining([base.digest, diff.digest]));
    expect(doubts).toEqual([]);
    expect(freedBytes).toBeGreaterThan(0);
    expect([await store.sizeBytes(), await store.list()]).toEqual([0, []]);
    await open();
    expect(await store.list()).toEqual([]);
  });

  it.each([
    ["the catalog", (diff: Digest) => (catalog = { snapshots: [diff] })],
    ["a tag", (diff: Digest) => store.tag("function/hello", diff)],
    ["a lease", (diff: Digest) => store.lease([diff])],
    [
      "a lease that outlives the process",
      async (diff: Digest) => {
        await store.lease([diff], { name: "export", expires: new Date(Date.now() + 3_600_000) });
        await open();
      },
    ],
  ])("keeps what %s names, with all that it needs", async (_, name) => {
    const { diff } = await chain();
    await publishExample(store, "nobody's");
    await name(diff.digest);
    const { removedManifests } = await store.collectGarbage();
    expect(removedManifests).toHaveLength(1);
    await store.verify(diff.digest);
    expect(await store.locate(diff.digest)).toHaveProperty("workingSetPath");
  });

  it("removes what has lost its tag, its lease, or its time", async () => {
    const { diff } = await chain();
    await store.tag("mine", diff.digest);
    const lease = await store.lease([diff.digest]);
    await store.lease([diff.digest], { name: "expired", expires: new Date(0) });
    await store.tag("mine", (await publishExample(store, "next")).digest);
    expect((await store.collectGarbage()).removedBlobs).toBe(0);
    await lease.release();
    await lease.release();
    expect((await store.collectGarbage()).removedManifests).toContain(diff.digest);
    expect((await store.list()).map(({ digest }) => digest)).toEqual([store.tagged("mine")]);
    await store.untag("mine");
    await store.collectGarbage();
    expect(await store.sizeBytes()).toBe(0);
  });

  it("keeps blobs that the catalog names without a snapshot", async () => {
    const { app } = await chain();
    catalog = { blobs: [app.digest] };
    await store.collectGarbage();
    expect(await digests()).toEqual(new Set([app.digest]));
  });

  it("keeps what a diff needs, though its base has left the index", async () => {
    const { base, diff } = await chain();
    catalog = { snapshots: [diff.digest] };
    await store.remove(base.digest);
    expect((await store.collectGarbage()).removedBlobs).toBe(0);
    await store.verify(diff.digest);
  });

  it("keeps what the catalog names, though the index was lost", async () => {
    const { diff } = await chain();
    catalog = { snapshots: [diff.digest] };
    store.close();
    await rm(join(root, "index.json"));
    await open();
    await store.collectGarbage();
    await store.verify(diff.digest);
  });

  it("keeps what is being added, and what it has claimed, but waits for nobody", async () => {
    const { base } = await chain();
    await store.adding(async () => {
      store.claim(base.digest);
      const added = await publishExample(store, "added");
      const { removedManifests } = await store.collectGarbage();
      expect(removedManifests).toHaveLength(2);
      await store.verify(base.digest);
      await store.verify(added.digest);
    });
    await store.collectGarbage();
    expect(await store.sizeBytes()).toBe(0);
  });

  it("loses nothing of what is published while it runs", async () => {
    const published = await store.adding(async () => {
      const collected: Promise<unknown>[] = [];
      const published = await Promise.all(
        ["one", "two", "three"].map((memory) => {
          collected.push(store.collectGarbage());
          return publishExample(store, memory);
        }),
      );
      await Promise.all(collected);
      return published;
    });
    for (const { digest } of published) await store.verify(digest);
  });

  it.each([
    ["a manifest with other bytes", ({ diff }) => overwrite(diff.digest, "{}"), "FIRN_SNAPSHOT_CORRUPT"],
    ["a missing manifest", ({ diff }) => store.blobs.remove(diff.digest), "FIRN_SNAPSHOT_MISSING"],
    ["a missing parent", ({ base }) => store.blobs.remove(base.digest), "FIRN_SNAPSHOT_MISSING"],
    [
      "a missing config",
      ({ diff }) => store.blobs.remove(diff.blobs[1]?.digest ?? "sha256:"),
      "FIRN_SNAPSHOT_MISSING",
    ],
    [
      "a referrer with other bytes",
      async ({ diff }) => overwrite((await store.referrers(diff.digest))[0]?.digest ?? "sha256:", "[]"),
      "FIRN_SNAPSHOT_CORRUPT",
    ],
    [
      "a line of the index that is not understood",
      () =>
        editIndex((manifests) => [
          ...manifests,
          { mediaType: "application/vnd.oci.image.index.v1+json", size: 1 },
        ]),
      "FIRN_STORE_FORMAT",
    ],
    ["a lease that is not understood", () => writeFile(join(root, "leases", "x.json"), "{"), undefined],
  ] as [string, (parts: Awaited<ReturnType<typeof chain>>) => Promise<unknown>, string?][])(
    "removes nothing, and says why, when there is %s",
    async (_, damage, code) => {
      const parts = await chain();
      catalog = { snapshots: [parts.diff.digest] };
      await publishExample(store, "garbage");
      await damage(parts);
      await open();
      const before = await digests();
      const report = await store.collectGarbage();
      expect(report).toMatchObject({ removedBlobs: 0, removedManifests: [] });
      expect(report.doubts).toHaveLength(1);
      expect(report.doubts).toEqual(doubts);
      const [doubt] = report.doubts;
      if (code !== undefined) expect(doubt?.error).toMatchObject({ code });
      expect(doubt && describeDoubt(doubt)).toMatch(/cannot be read/);
      expect(await digests()).toEqual(before);
    },
  );

  it("goes on when what it doubted was taken out by hand", async () => {
    const { diff } = await chain();
    await overwrite(diff.digest, "{}");
    const [{ doubts }] = [await store.collectGarbage()];
    expect(doubts.map(({ what }) => what)).toEqual([diff.digest]);
    await store.remove(diff.digest);
    // What was about it is still in the index, and about nothing that is needed.
    expect((await store.collectGarbage()).doubts).toEqual([]);
    expect(await store.sizeBytes()).toBe(0);
  });

  it("keeps lines of the index that it does not understand", async () => {
    await chain();
    const foreign = { mediaType: "application/vnd.oci.image.index.v1+json", digest: "sha512:0", size: 1 };
    await editIndex((manifests) => [foreign, ...manifests]);
    await open();
    await publishExample(store, "one more");
    await editIndex((manifests) => {
      expect(manifests[0]).toEqual(foreign);
      expect(manifests).toHaveLength(5);
      return manifests;
    });
  });
});

async function editIndex(change: (manifests: unknown[]) => unknown[]): Promise<void> {
  const path = join(root, "index.json");
  const index = JSON.parse(await readFile(path, "utf8"));
  await chmod(path, 0o600);
  await writeFile(path, JSON.stringify({ ...index, manifests: change(index.manifests) }));
}

describe("Store.tag()", () => {
  it("names a snapshot, in the same step as it is published or later, as OCI does", async () => {
    const manifest = await publishExample(store, "memory", exampleConfig(), undefined, {
      tag: "base/node24",
    });
    await store.tag("latest", manifest.digest);
    await open();
    expect([...store.tags()]).toEqual([
      ["base/node24", manifest.digest],
      ["latest", manifest.digest],
    ]);
    expect(store.describe(manifest.digest).tags).toEqual(["base/node24", "latest"]);
    const index = JSON.parse(await readFile(join(root, "index.json"), "utf8"));
    expect(index.manifests[1].annotations["org.opencontainers.image.ref.name"]).toBe("base/node24");
    expect(await store.list()).toHaveLength(1);
  });

  it("refuses what is no name, and what is no snapshot", async () => {
    const { diff } = await chain();
    await expect(store.tag("../x", diff.digest)).rejects.toMatchObject({ code: "FIRN_INVALID_PARAMETER" });
    await expect(store.tag("x", `sha256:${"0".repeat(64)}`)).rejects.toMatchObject({
      code: "FIRN_SNAPSHOT_MISSING",
    });
    const expires = new Date(Date.now() + 1000);
    await expect(store.lease([diff.digest], { name: "../x", expires })).rejects.toMatchObject({
      code: "FIRN_INVALID_PARAMETER",
    });
  });
});
