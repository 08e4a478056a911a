export { type AppLimits, DEFAULT_APP_LIMITS } from "./archive/app-errors.ts";
export { type AppImage, type AppImageOptions, type AppSource, createAppImage } from "./archive/app-image.ts";
export { type AppSettings, readAppSettings, readServer, type ServerCommand } from "./archive/app-settings.ts";
export type { EntryPoints } from "./archive/find-entry.ts";
export { Catalog } from "./catalog/catalog.ts";
export {
  type DeployFailure,
  type FunctionRecord,
  type FunctionSettings,
  isSameVersion,
  MEMORY_CLASSES_MIB,
  type VersionContents,
} from "./catalog/function-record.ts";
export type { DeployInput } from "./deploy/deployments.ts";
export type { LearntWorkingSet } from "./deploy/working-set-learner.ts";
export { errorFields } from "./error-fields.ts";
export { FunctionsError, type FunctionsErrorCode } from "./errors.ts";
export {
  FunctionHost,
  type HostEvents,
  type StartedFunction,
  type StartFunctionOptions,
} from "./function-host.ts";
export { type FunctionFailure, failureOf } from "./instances/function-failure.ts";
export { InstancePool } from "./instances/instance-pool.ts";
export {
  type Invocation,
  type InvocationLog,
  type InvokeOptions,
  Invoker,
  type StreamedInvocation,
  type WantedStart,
} from "./instances/invoker.ts";
export { type FunctionRuntime, FunctionRuntimes } from "./runtimes/function-runtime.ts";
