export { type AppLimits, DEFAULT_APP_LIMITS } from "./archive/app-folder.ts";
export { type AppImage, type AppSource, createAppImage } from "./archive/app-image.ts";
export { Catalog } from "./catalog/catalog.ts";
export { type DeployFailure, type FunctionRecord, MEMORY_CLASSES_MIB } from "./catalog/function-record.ts";
export type { DeployInput } from "./deploy/deployments.ts";
export { FunctionsError, type FunctionsErrorCode } from "./errors.ts";
export {
  FunctionHost,
  type HostEvents,
  type StartedFunction,
  type StartFunctionOptions,
} from "./function-host.ts";
