export { type BootOptions, bootMicrovm } from "./boot.ts";
export type { DoorbellEvent } from "./doorbell.ts";
export { FirnVmmError, type FirnVmmErrorCode } from "./errors.ts";
export type { MicrovmExit } from "./exit.ts";
export { type AddressRange, Microvm, type SnapshotOptions } from "./microvm.ts";
export type { SnapshotReport, StartPhases, Statistics } from "./reports.ts";
export { type LayerReference, type RestoreOptions, restoreMicrovm } from "./restore.ts";
