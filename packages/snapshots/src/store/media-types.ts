/** Media types of what a store holds. They are part of the store's format: never change one, add a new version. */
export const MEDIA_TYPE = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.firn.snapshot.config.v1+json",
  /** A memory layer, uncompressed, so that it can be mapped where it lies. */
  memory: "application/vnd.firn.snapshot.memory.v1",
  /** Registers, interrupt controller and devices. */
  state: "application/vnd.firn.snapshot.state.v1",
  /** Which memory the clones of a snapshot write. */
  workingSet: "application/vnd.firn.snapshot.working-set.v1",
  /** A read-only erofs image of a function's files. */
  app: "application/vnd.firn.app.v1.erofs",
} as const;

/** `artifactType` of a snapshot's manifest. */
export const ARTIFACT_TYPE = "application/vnd.firn.snapshot.v1";
