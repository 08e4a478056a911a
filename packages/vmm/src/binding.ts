import { createRequire } from "node:module";
import { FirnVmmError } from "./errors.ts";
import type { JailLevel, JailReport } from "./jail.ts";
import { locate } from "./platform-package.ts";
import type { SnapshotReport, StartPhases, Statistics, WorkingSetReport } from "./reports.ts";

/** The native class behind a microVM. Promises reject with errors whose message is `FIRN_CODE: sentence`. */
export interface VmmProcess {
  jailed(id: number): Promise<JailReport>;
  boot(id: number, options: NativeBootOptions): Promise<Started>;
  prepare(id: number, options: NativePrepareOptions): Promise<Prepared>;
  isRunning(): boolean;
  /** Descriptors are the native side's until `adopt` has returned what closes them: a thread that ends before leaves none. */
  takeStream<T>(adopt: (fd: number) => T): T;
  takeConsole<T>(adopt: (fd: number) => T): T | null;
  restore(id: number, options: NativeRestoreOptions): Promise<Started>;
  snapshot(id: number, options: NativeSnapshotOptions): Promise<SnapshotReport>;
  recordWorkingSet(id: number, options: NativeWorkingSetOptions): Promise<WorkingSetReport>;
  recordMisses(id: number, options: NativeMissesOptions): Promise<WorkingSetReport>;
  resume(id: number): Promise<void>;
  pause(id: number): Promise<void>;
  setBalloonBytes(id: number, bytes: number): Promise<void>;
  statistics(id: number): Promise<Statistics>;
  memoryChecksum(id: number): Promise<string>;
  cancel(id: number, code: string, message: string): void;
  close(): Promise<void>;
}

/** What the addon exports. */
export interface Binding {
  VmmProcess: new (
    binaryPath: string,
    jail: NativeJailOptions,
    onEvent: (event: VmmEvent) => void,
  ) => VmmProcess;
}

export interface NativeJailOptions {
  level: "auto" | JailLevel;
  firstId: number;
  idCount: number;
  cgroupParent?: string;
  memoryMaxBytes?: number;
  pidsMax?: number;
  cpuMaxThousandths?: number;
}

export interface NativeBootOptions {
  kernelPath: string;
  initrdPath?: string;
  rootDiskPath: string;
  appDiskPath?: string;
  memoryBytes: number;
  vcpus: number;
  gic?: number;
  commandLine: string;
  console: boolean;
  scratchDiskPath?: string;
  rng: boolean;
  balloon: boolean;
  net?: NativeNetOptions;
  limits?: NativeDeviceLimits;
}

export interface NativePrepareOptions {
  layers: { path: string; digest: Uint8Array }[];
  statePath: string;
  workingSetPaths: string[];
}

export interface NativeRestoreOptions {
  layers: { path: string; digest: Uint8Array }[];
  statePath: string;
  rootDiskPath: string;
  appDiskPath?: string;
  appImageDigest?: Uint8Array;
  workingSetPath?: string;
  initialBytes?: Uint8Array;
  leaf: boolean;
  paused: boolean;
  console: boolean;
  recordReads: boolean;
  scratchDiskPath?: string;
  net?: NativeNetOptions;
  limits?: NativeDeviceLimits;
}

export interface NativeNetOptions {
  socketPath?: string;
  tapName?: string;
  mac?: Uint8Array;
}

export interface NativeRateLimit {
  bytes?: { perSecond: number; burst: number };
  operations?: { perSecond: number; burst: number };
}

export interface NativeDeviceLimits {
  rootDisk?: NativeRateLimit;
  appDisk?: NativeRateLimit;
  scratchDisk?: NativeRateLimit;
  netReceive?: NativeRateLimit;
  netTransmit?: NativeRateLimit;
  rng?: NativeRateLimit;
}

export interface NativeSnapshotOptions {
  layerPath: string;
  statePath: string;
  appImageDigest?: Uint8Array;
}

export interface NativeMissesOptions {
  path: string;
  workingSetPath?: string;
  previousPath?: string;
}

export interface NativeWorkingSetOptions {
  path: string;
  previousPath?: string;
}

/** A microVM runs. */
export interface Started {
  pid: number;
  initialBytesWritten: number;
}

/** A process waits for its restore. */
export interface Prepared {
  pid: number;
  privateBytes: number;
  touchedPages: number;
  phases: StartPhases;
}

/** `exit` is the last one. */
export interface VmmEvent {
  kind: "doorbell" | "exit";
  event?: number;
  detail?: number;
  reason?: "closed" | "stopped" | "reset" | "failed" | "crashed";
  error?: string;
  droppedEvents?: number;
}

/** The addon and the binary that it starts. */
export interface LoadedBinding {
  binding: Binding;
  binaryPath: string;
}

let loaded: LoadedBinding | undefined;

/**
 * Loads the addon at the first call; importing this module loads nothing.
 *
 * @throws {FirnVmmError} FIRN_PLATFORM_UNSUPPORTED or FIRN_VMM_BINARY_MISSING.
 */
export function loadBinding(): LoadedBinding {
  if (loaded !== undefined) return loaded;
  const { addonPath, binaryPath } = locate();
  try {
    loaded = { binding: createRequire(import.meta.url)(addonPath) as Binding, binaryPath };
  } catch (cause) {
    const message = `The addon ${addonPath} cannot be loaded: ${cause instanceof Error ? cause.message : cause}`;
    throw new FirnVmmError("FIRN_VMM_BINARY_MISSING", message, { cause });
  }
  return loaded;
}
