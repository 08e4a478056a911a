export type { JailOptions, JailReport, MissesOptions, PoolStatistics, WorkingSetReport } from "@firn/vmm";
export { BasePool, type PoolSettings } from "./bases/base-pool.ts";
export { BaseProvider, type MachineOptions } from "./bases/base-provider.ts";
export { incompatibility, requireCompatible } from "./bases/compatible.ts";
export { type BaseOptions, createBase } from "./bases/create-base.ts";
export { deviceSet } from "./bases/device-set.ts";
export {
  type DigestedFile,
  digestedFile,
  type FileDigests,
  type FileIdentity,
  MemoryFileDigests,
} from "./bases/file-digests.ts";
export { hostFingerprint } from "./bases/host-fingerprint.ts";
export { JailChoice } from "./bases/jail-choice.ts";
export { type Runtime, type RuntimeManifest, readRuntime, readRuntimes } from "./bases/runtime.ts";
export type { Deadline } from "./deadline.ts";
export { DEFAULT_DEADLINES, type Deadlines, scaleDeadlines } from "./deadlines.ts";
export { errorCode, FunctionFailedError, SnapshotError, type SnapshotErrorCode } from "./errors.ts";
export { AgentConnection, type GuestLogLine } from "./instances/agent-connection.ts";
export { createDiff, type DiffOptions } from "./instances/create-diff.ts";
export { Instance } from "./instances/instance.ts";
export type {
  InvokeOutcome,
  InvokeReport,
  InvokeRequest,
  InvokeResponse,
  Phase,
  StartMode,
} from "./instances/invocation.ts";
export { ResponseStream } from "./instances/response-stream.ts";
export { ScratchTemplates } from "./instances/scratch-templates.ts";
export type { SnapshotInstanceOptions } from "./instances/snapshot-instance.ts";
export type { SourceInvoke } from "./instances/source-invocations.ts";
export {
  type StartedInstance,
  type StartOptions,
  type StartPlan,
  startInstance,
} from "./instances/start-instance.ts";
export {
  Machine,
  type MachineDiffOptions,
  type MachineStartOptions,
  type OpenMachineOptions,
} from "./machine.ts";
export type { BlobStore } from "./store/blob-store.ts";
export { type Digest, digestOf, digestOfFile, isDigest, parseDigest } from "./store/digest.ts";
export type { CatalogRoots, Doubt, GarbageReport } from "./store/garbage.ts";
export { describeDoubt } from "./store/garbage.ts";
export type { Lease } from "./store/leases.ts";
export type { Descriptor, SnapshotConfig, SnapshotManifest } from "./store/manifest.ts";
export { ARTIFACT_TYPE, MEDIA_TYPE } from "./store/media-types.ts";
export type { Referrer } from "./store/referrer.ts";
export type { LocatedSnapshot } from "./store/snapshot-reader.ts";
export {
  type NewSnapshot,
  type PublishStep,
  type SnapshotDescription,
  Store,
  type StoreOptions,
} from "./store/store.ts";
export { describeWorkingSet } from "./store/working-set.ts";
