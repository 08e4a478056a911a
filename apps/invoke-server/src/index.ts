export { createInvokeApp, type InvokeApp } from "./app.ts";
export { type Config, ConfigError, readConfig } from "./config.ts";
export type { Dependencies } from "./dependencies.ts";
export type { FunctionView, SnapshotView } from "./function-view.ts";
export type { JailStatus } from "./jail-status.ts";
export { type KvmStatus, probeKvm } from "./kvm-probe.ts";
export { Readiness } from "./readiness.ts";
export { type RunningServer, startServer } from "./server.ts";
export { answerOf, type ErrorAnswer, ServiceError } from "./service-error.ts";
