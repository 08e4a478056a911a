import { z } from "zod";
import { SnapshotError } from "../errors.ts";
import { type Digest, digestOf, isDigest } from "./digest.ts";
import { ARTIFACT_TYPE, MEDIA_TYPE } from "./media-types.ts";

/** Version of {@link SnapshotConfig}. Readers match it exactly. */
export const CONFIG_VERSION = 1;

const digest = z.custom<Digest>(isDigest, "expected sha256: and 64 hexadecimal digits");
const bytes = z.int().nonnegative();

const configSchema = z.strictObject({
  /** Version of this object: {@link CONFIG_VERSION}. */
  configVersion: z.literal(CONFIG_VERSION),
  kind: z.enum(["base", "diff"]),
  /** When it was taken, in ISO 8601. */
  created: z.iso.datetime(),
  /** Guest architecture, as Go and OCI name it. */
  architecture: z.literal("arm64"),
  memoryBytes: bytes,
  vcpus: z.int().min(1).max(8),
  /** Runtime name and version as the guest reports it, for example "node 24.9.0". */
  runtime: z.string(),
  agent: z.strictObject({ protocolVersion: z.int(), version: z.string() }),
  /** What the guest booted from; a restore needs the same root disk. */
  kernel: digest,
  rootDisk: digest,
  /** Manifest of the snapshot underneath; `null` for a base. */
  parent: digest.nullable(),
  /** Image that the function was loaded from; `null` for a base. */
  appImage: digest.nullable(),
  /** What is known of the machine it was taken on. The VMM checks the registers themselves. */
  host: z.record(z.string(), z.string()),
  /** What the VMM reported, in bytes and microseconds. */
  report: z.record(z.string(), z.number()),
});

/** What a snapshot is: the config blob of its manifest. */
export type SnapshotConfig = z.infer<typeof configSchema>;

const descriptorSchema = z.strictObject({ mediaType: z.string(), digest, size: bytes });

/** Points to a blob: media type, digest, size in bytes. */
export type Descriptor = z.infer<typeof descriptorSchema>;

const manifestSchema = z.strictObject({
  schemaVersion: z.literal(2),
  mediaType: z.literal(MEDIA_TYPE.manifest),
  artifactType: z.literal(ARTIFACT_TYPE),
  config: descriptorSchema,
  layers: z.array(descriptorSchema),
});

/** A snapshot's manifest with its blobs told apart. */
export interface SnapshotManifest {
  /** Digest of the manifest: the name of the snapshot. */
  readonly digest: Digest;
  readonly config: SnapshotConfig;
  readonly memory: Descriptor;
  readonly state: Descriptor;
  /** Image of the function's files; absent in a base. */
  readonly app?: Descriptor;
  /** What clones of this snapshot write; absent where none was recorded. */
  readonly workingSet?: Descriptor;
  /** The manifest's own blob, the config's blob and all layers. */
  readonly blobs: readonly Descriptor[];
}

/** Encodes a config blob: the same object always gives the same bytes. */
export function encodeConfig(config: SnapshotConfig): Uint8Array {
  return encodeJson(configSchema.parse(config));
}

/** Encodes a manifest blob: the same parts always give the same bytes. */
export function encodeManifest(parts: {
  config: Descriptor;
  memory: Descriptor;
  state: Descriptor;
  app?: Descriptor | undefined;
  workingSet?: Descriptor | undefined;
}): Uint8Array {
  const layers = [parts.memory, parts.state];
  if (parts.app !== undefined) layers.push(parts.app);
  if (parts.workingSet !== undefined) layers.push(parts.workingSet);
  return encodeJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.manifest,
    artifactType: ARTIFACT_TYPE,
    config: parts.config,
    layers,
  });
}

/**
 * Decodes a manifest and its config, both already checked against their digests.
 *
 * @param readConfig Reads the bytes of the config blob.
 * @throws {SnapshotError} FIRN_SNAPSHOT_INCOMPATIBLE for another version, FIRN_SNAPSHOT_CORRUPT for anything malformed.
 */
export async function decodeManifest(
  manifestBytes: Uint8Array,
  readConfig: (config: Descriptor) => Promise<Uint8Array>,
): Promise<SnapshotManifest> {
  const name = digestOf(manifestBytes);
  const manifest = parse(manifestSchema, manifestBytes, `Snapshot manifest ${name}`);
  const config = decodeConfig(await readConfig(manifest.config), name);
  const find = (mediaType: string) => manifest.layers.find((layer) => layer.mediaType === mediaType);
  const memory = find(MEDIA_TYPE.memory);
  const state = find(MEDIA_TYPE.state);
  const app = find(MEDIA_TYPE.app);
  const workingSet = find(MEDIA_TYPE.workingSet);
  if (memory === undefined || state === undefined) {
    throw corrupt(`Snapshot manifest ${name} has no memory layer or no state.`);
  }
  if ((config.kind === "diff") !== (config.parent !== null) || (app?.digest ?? null) !== config.appImage) {
    throw corrupt(`Snapshot manifest ${name} and its config disagree about parent or app image.`);
  }
  const self = { mediaType: MEDIA_TYPE.manifest, digest: name, size: manifestBytes.length };
  const blobs = [self, manifest.config, ...manifest.layers];
  return {
    digest: name,
    config,
    memory,
    state,
    blobs,
    ...(app === undefined ? {} : { app }),
    ...(workingSet === undefined ? {} : { workingSet }),
  };
}

function decodeConfig(configBytes: Uint8Array, name: Digest): SnapshotConfig {
  const what = `Config of snapshot ${name}`;
  const { configVersion } = parse(z.object({ configVersion: z.int() }), configBytes, what);
  if (configVersion !== CONFIG_VERSION) {
    throw new SnapshotError(
      "FIRN_SNAPSHOT_INCOMPATIBLE",
      `${what} has version ${configVersion}, this program reads version ${CONFIG_VERSION}. Make the snapshot again.`,
    );
  }
  return parse(configSchema, configBytes, what);
}

function parse<T>(schema: z.ZodType<T>, source: Uint8Array, what: string): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(source));
  } catch (cause) {
    throw corrupt(`${what} is no JSON. Make the snapshot again.`, cause);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = issue === undefined ? "" : ` at ${issue.path.join(".") || "its root"}: ${issue.message}`;
  throw corrupt(`${what} is malformed${where}. Make the snapshot again.`, result.error);
}

function corrupt(message: string, cause?: unknown): SnapshotError {
  return new SnapshotError("FIRN_SNAPSHOT_CORRUPT", message, cause === undefined ? undefined : { cause });
}

function encodeJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
}
