import { z } from "zod";
import { SnapshotError } from "../errors.ts";
import { type Digest, digestOf, isDigest } from "./digest.ts";
import { ARTIFACT_TYPE, MEDIA_TYPE } from "./media-types.ts";

/** Version of {@link SnapshotConfig}. Readers match it exactly. */
export const CONFIG_VERSION = 1;

const digest = z.custom<Digest>(isDigest, "expected sha256: and 64 hexadecimal digits");
const bytes = z.int().nonnegative();
const annotations = z.record(z.string(), z.string());

const configSchema = z.strictObject({
  /** Version of this object: {@link CONFIG_VERSION}. */
  configVersion: z.literal(CONFIG_VERSION),
  /**
   * `base`: a runtime that waits for code. `diff`: what a microVM added to the snapshot that it was started from. `full`: all of a microVM
   * that was booted.
   */
  kind: z.enum(["base", "diff", "full"]),
  /** Guest architecture, as Go and OCI name it. */
  architecture: z.literal("arm64"),
  memoryBytes: bytes,
  vcpus: z.int().min(1).max(8),
  /** The devices that it was booted with, sorted: nothing can be added later. */
  devices: z.array(z.string()),
  /** Runtime name and version as the guest reports it, for example "node 24.9.0". */
  runtime: z.string(),
  agent: z.strictObject({
    /** Version of the protocol between host and agent. Another one cannot be spoken with. */
    abi: z.int(),
    version: z.string(),
  }),
  /** What the guest booted from; a restore needs the same root disk. */
  kernel: digest,
  rootDisk: digest,
  /** Manifest of the snapshot underneath; `null` but for a diff. */
  parent: digest.nullable(),
  /** Image that a function was loaded from, if one was. */
  appImage: digest.nullable(),
  /** What is known of the machine it was taken on. The VMM checks the registers themselves. */
  host: z.record(z.string(), z.string()),
  annotations: annotations.optional(),
});

/** What a snapshot is: the config blob of its manifest. The same inputs give the same bytes. */
export type SnapshotConfig = z.infer<typeof configSchema>;

const descriptorSchema = z.strictObject({
  mediaType: z.string(),
  digest,
  size: bytes,
  annotations: annotations.optional(),
});

/** Points to a blob: media type, digest, size in bytes. */
export type Descriptor = z.infer<typeof descriptorSchema>;

const manifestSchema = z.strictObject({
  schemaVersion: z.literal(2),
  mediaType: z.literal(MEDIA_TYPE.manifest),
  artifactType: z.literal(ARTIFACT_TYPE),
  config: descriptorSchema,
  layers: z.array(descriptorSchema),
  annotations: annotations.optional(),
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
  /** Contents of the scratch disk; absent if the microVM had none. */
  readonly scratch?: Descriptor;
  readonly annotations: Readonly<Record<string, string>>;
  /** The manifest's own blob, the config's blob and all layers. */
  readonly blobs: readonly Descriptor[];
}

/** The blobs that a snapshot consists of. */
export interface SnapshotParts {
  readonly config: Descriptor;
  readonly memory: Descriptor;
  readonly state: Descriptor;
  readonly app?: Descriptor | undefined;
  readonly scratch?: Descriptor | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** Encodes a config blob: the same object always gives the same bytes. */
export function encodeConfig(config: SnapshotConfig): Uint8Array {
  return encodeJson(configSchema.parse(config));
}

/** Encodes a manifest blob: the same parts always give the same bytes. */
export function encodeManifest(parts: SnapshotParts): Uint8Array {
  const { config, memory, state, app, scratch } = parts;
  const layers = [memory, state, app, scratch].filter((layer) => layer !== undefined);
  return encodeJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.manifest,
    artifactType: ARTIFACT_TYPE,
    config,
    layers,
    ...(parts.annotations === undefined ? {} : { annotations: parts.annotations }),
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
  const manifest = parseJson(manifestSchema, manifestBytes, `Snapshot manifest ${name}`);
  const config = decodeConfig(await readConfig(manifest.config), name);
  const find = (mediaType: string) => manifest.layers.find((layer) => layer.mediaType === mediaType);
  const memory = find(MEDIA_TYPE.memory);
  const state = find(MEDIA_TYPE.state);
  const app = find(MEDIA_TYPE.app);
  const scratch = find(MEDIA_TYPE.scratch);
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
    annotations: manifest.annotations ?? {},
    blobs,
    ...(app === undefined ? {} : { app }),
    ...(scratch === undefined ? {} : { scratch }),
  };
}

function decodeConfig(configBytes: Uint8Array, name: Digest): SnapshotConfig {
  const what = `Config of snapshot ${name}`;
  const { configVersion } = parseJson(z.object({ configVersion: z.int() }), configBytes, what);
  if (configVersion !== CONFIG_VERSION) {
    throw new SnapshotError(
      "FIRN_SNAPSHOT_INCOMPATIBLE",
      `${what} has version ${configVersion}, this program reads version ${CONFIG_VERSION}. Make the snapshot again.`,
    );
  }
  return parseJson(configSchema, configBytes, what);
}

/** Decodes JSON of a known shape. @throws {SnapshotError} FIRN_SNAPSHOT_CORRUPT, naming `what` and the place. */
export function parseJson<T>(schema: z.ZodType<T>, source: Uint8Array, what: string): T {
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

/** Encodes JSON, readable by people. */
export function encodeJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
}

function corrupt(message: string, cause?: unknown): SnapshotError {
  return new SnapshotError("FIRN_SNAPSHOT_CORRUPT", message, cause === undefined ? undefined : { cause });
}
