import { describe, expect, it } from "vitest";
import { digestOfText, exampleConfig } from "../../test/snapshots.ts";
import { digestOf } from "./digest.ts";
import { decodeManifest, encodeConfig, encodeManifest, type SnapshotConfig } from "./manifest.ts";
import { MEDIA_TYPE } from "./media-types.ts";

const layer = (mediaType: string, text: string) => ({
  mediaType,
  digest: digestOfText(text),
  size: text.length,
});
const memory = layer(MEDIA_TYPE.memory, "memory");
const state = layer(MEDIA_TYPE.state, "state");
const app = layer(MEDIA_TYPE.app, "app");
const scratch = layer(MEDIA_TYPE.scratch, "scratch");

function encode(
  config: SnapshotConfig,
  configBytes = encodeConfig(config),
  withApp = config.appImage !== null,
) {
  const descriptor = {
    mediaType: MEDIA_TYPE.config,
    digest: digestOf(configBytes),
    size: configBytes.length,
  };
  const parts = withApp ? { app, scratch } : {};
  const manifest = encodeManifest({ config: descriptor, memory, state, ...parts });
  return { manifest, read: async () => configBytes };
}

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

describe("encodeManifest()", () => {
  it("encodes as the committed example, byte by byte", async () => {
    const config = exampleConfig({ kind: "diff", parent: digestOfText("parent"), appImage: app.digest });
    const { manifest } = encode(config);
    await expect(new TextDecoder().decode(encodeConfig(config))).toMatchFileSnapshot(
      "../../test/golden/config.json",
    );
    await expect(new TextDecoder().decode(manifest)).toMatchFileSnapshot("../../test/golden/manifest.json");
  });
});

describe("decodeManifest()", () => {
  it("reads what encodeManifest() wrote", async () => {
    const config = exampleConfig({ kind: "diff", parent: digestOfText("parent"), appImage: app.digest });
    const { manifest, read } = encode(config);
    const decoded = await decodeManifest(manifest, read);
    expect(decoded).toMatchObject({ digest: digestOf(manifest), config, memory, state, app, scratch });
    expect(decoded.blobs).toHaveLength(6);
  });

  it("keeps annotations of the manifest, of its config and of its layers", async () => {
    const note = { "org.example.build": "7" };
    const configBytes = encodeConfig(exampleConfig({ annotations: note }));
    const config = { mediaType: MEDIA_TYPE.config, digest: digestOf(configBytes), size: configBytes.length };
    const parts = { config, memory: { ...memory, annotations: note }, state, annotations: note };
    const decoded = await decodeManifest(encodeManifest(parts), async () => configBytes);
    expect(decoded).toMatchObject({ annotations: note, memory: parts.memory });
    expect(decoded.config.annotations).toEqual(note);
  });

  it("says FIRN_SNAPSHOT_INCOMPATIBLE for a config of a later version", async () => {
    const { manifest, read } = encode(exampleConfig(), json({ configVersion: 2, anything: true }));
    await expect(decodeManifest(manifest, read)).rejects.toMatchObject({
      code: "FIRN_SNAPSHOT_INCOMPATIBLE",
      message: expect.stringContaining("version 2"),
    });
  });

  it.each([
    ["no JSON", new TextEncoder().encode("{")],
    ["no UTF-8", new Uint8Array([0xff, 0xfe])],
    ["another kind", json({ ...exampleConfig(), kind: "middle" })],
    ["a digest that is none", json({ ...exampleConfig(), kernel: "sha256:../../etc/passwd" })],
    ["negative memory", json({ ...exampleConfig(), memoryBytes: -1 })],
    ["an unknown field", json({ ...exampleConfig(), surprise: 1 })],
    ["a base with a parent", json({ ...exampleConfig(), parent: digestOfText("parent") })],
    ["an app image that is not in the manifest", json({ ...exampleConfig(), appImage: digestOfText("app") })],
  ])("says FIRN_SNAPSHOT_CORRUPT for a config with %s", async (_, configBytes) => {
    const { manifest, read } = encode(exampleConfig(), configBytes);
    await expect(decodeManifest(manifest, read)).rejects.toMatchObject({ code: "FIRN_SNAPSHOT_CORRUPT" });
  });

  it("says FIRN_SNAPSHOT_CORRUPT for a manifest without a memory layer", async () => {
    const { manifest, read } = encode(exampleConfig());
    const edited = JSON.parse(new TextDecoder().decode(manifest));
    edited.layers.shift();
    await expect(decodeManifest(json(edited), read)).rejects.toMatchObject({ code: "FIRN_SNAPSHOT_CORRUPT" });
  });
});
