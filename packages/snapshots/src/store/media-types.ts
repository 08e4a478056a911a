/** Media types of what a store holds. They are part of the store's format: never change one, add a new version. */
export const MEDIA_TYPE = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.firn.snapshot.config.v1+json",
  /** A memory layer, uncompressed, so that it can be mapped where it lies. */
  memory: "application/vnd.firn.snapshot.memory.v1",
  /** Registers, interrupt controller and devices. */
  state: "application/vnd.firn.snapshot.state.v1",
  /** The contents of the scratch disk, without what is zero. */
  scratch: "application/vnd.firn.snapshot.scratch.v1",
  /** Which memory the clones of a snapshot write. */
  workingSet: "application/vnd.firn.snapshot.working-set.v1",
  /** A read-only erofs image of a function's files. */
  app: "application/vnd.firn.app.v1.erofs",
  /** Two bytes, `{}`: the config of a manifest that needs none. */
  empty: "application/vnd.oci.empty.v1+json",
} as const;

/** `artifactType` of a snapshot's manifest. */
export const ARTIFACT_TYPE = "application/vnd.firn.snapshot.v1";

/** Names of annotations in the index. */
export const ANNOTATION = {
  /** OCI's own: the tag. */
  tag: "org.opencontainers.image.ref.name",
  /** OCI's own: when a snapshot was taken, in ISO 8601. */
  created: "org.opencontainers.image.created",
  /** What the VMM reported when it took the snapshot, as JSON: bytes and microseconds. */
  report: "vnd.firn.snapshot.report",
} as const;
