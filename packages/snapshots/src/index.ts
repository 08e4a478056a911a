export type { JailOptions, JailReport } from "@firn/vmm";
export { AgentConnection, type GuestLogLine } from "./agent-connection.ts";
export { type AppLimits, DEFAULT_APP_LIMITS } from "./app-folder.ts";
export { type AppImage, type AppSource, createAppImage } from "./app-image.ts";
export type { PoolSettings } from "./base-pool.ts";
export { BaseProvider, type MachineOptions } from "./base-provider.ts";
export type { BlobStore } from "./blob-store.ts";
export { Catalog } from "./catalog.ts";
export { type BaseOptions, createBase, type DigestedFile } from "./create-base.ts";
export { createDiff, type DiffOptions } from "./create-diff.ts";
export type { Deadline } from "./deadline.ts";
export { DEFAULT_DEADLINES, type Deadlines, scaleDeadlines } from "./deadlines.ts";
export type { DeployInput } from "./deployments.ts";
export { type Digest, digestOf, digestOfFile, isDigest, parseDigest } from "./digest.ts";
export { errorCode, FunctionFailedError, SnapshotError, type SnapshotErrorCode } from "./errors.ts";
export {
  FunctionHost,
  type HostEvents,
  type StartedFunction,
  type StartFunctionOptions,
} from "./function-host.ts";
export { type DeployFailure, type FunctionRecord, MEMORY_CLASSES_MIB } from "./function-record.ts";
export { Instance } from "./instance.ts";
export type { InvokeRequest, InvokeResponse, Phase, StartMode } from "./invocation.ts";
export type { Descriptor, SnapshotConfig, SnapshotManifest } from "./manifest.ts";
export { ARTIFACT_TYPE, MEDIA_TYPE } from "./media-types.ts";
export { type StartedInstance, type StartOptions, type StartPlan, startInstance } from "./start-instance.ts";
export { type LocatedSnapshot, type NewSnapshot, type PublishStep, Store } from "./store.ts";
