import { z } from "zod";
import { type Digest, digestOf, isDigest } from "./digest.ts";
import { type Descriptor, encodeJson, parseJson } from "./manifest.ts";
import { MEDIA_TYPE } from "./media-types.ts";

/** The config of manifests that need none, as OCI has it. */
export const EMPTY_CONFIG: Uint8Array = new TextEncoder().encode("{}");

const descriptorSchema = z.looseObject({
  mediaType: z.string(),
  digest: z.custom<Digest>(isDigest),
  size: z.int().nonnegative(),
});
// Loose: a referrer may be another program's, and only its references count.
const referrerSchema = z.looseObject({
  mediaType: z.literal(MEDIA_TYPE.manifest),
  artifactType: z.string().optional(),
  config: descriptorSchema,
  layers: z.array(descriptorSchema),
  subject: descriptorSchema.optional(),
});

/** A manifest that says something about a snapshot, and leaves its name as it is: a working set, say. */
export interface Referrer {
  readonly digest: Digest;
  readonly artifactType: string | undefined;
  /** What it is about. */
  readonly subject: Digest | undefined;
  readonly layers: readonly Descriptor[];
  /** The manifest's own blob, the config's blob and all layers. */
  readonly blobs: readonly Descriptor[];
}

/** Encodes a referrer with one layer, of the same type as itself. */
export function encodeReferrer(subject: Descriptor, config: Descriptor, layer: Descriptor): Uint8Array {
  return encodeJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.manifest,
    artifactType: layer.mediaType,
    config,
    layers: [layer],
    subject,
  });
}

/** Decodes any manifest that is no snapshot's. @throws {SnapshotError} FIRN_SNAPSHOT_CORRUPT. */
export function decodeReferrer(bytes: Uint8Array): Referrer {
  const digest = digestOf(bytes);
  const manifest = parseJson(referrerSchema, bytes, `Manifest ${digest}`);
  const self = { mediaType: MEDIA_TYPE.manifest, digest, size: bytes.length };
  const plain = ({ mediaType, digest, size }: Descriptor): Descriptor => ({ mediaType, digest, size });
  const layers = manifest.layers.map(plain);
  return {
    digest,
    artifactType: manifest.artifactType,
    subject: manifest.subject?.digest,
    layers,
    blobs: [self, plain(manifest.config), ...layers],
  };
}
