import { createRequire } from "node:module";
import { FirnVmmError } from "./errors.ts";
import { locate } from "./platform-package.ts";
import type { SnapshotReport, Statistics } from "./reports.ts";

/** The native class behind a microVM. Promises reject with errors whose message is `FIRN_CODE: sentence`. */
export interface VmmProcess {
  boot(id: number, options: NativeBootOptions): Promise<Started>;
  restore(id: number, options: NativeRestoreOptions): Promise<Started>;
  snapshot(id: number, options: NativeSnapshotOptions): Promise<SnapshotReport>;
  resume(id: number): Promise<void>;
  pause(id: number): Promise<void>;
  statistics(id: number): Promise<Statistics>;
  memoryChecksum(id: number): Promise<string>;
  writtenRanges(id: number): Promise<{ start: number; end: number }[]>;
  cancel(id: number, code: string, message: string): void;
  close(): Promise<void>;
}

/** What the addon exports. */
export interface Binding {
  VmmProcess: new (binaryPath: string, onEvent: (event: VmmEvent) => void) => VmmProcess;
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
  trackWrites: boolean;
}

export interface NativeRestoreOptions {
  layers: { path: string; digest: Uint8Array }[];
  statePath: string;
  rootDiskPath: string;
  appDiskPath?: string;
  appImageDigest?: Uint8Array;
  initialBytes?: Uint8Array;
  leaf: boolean;
  paused: boolean;
  console: boolean;
  trackWrites: boolean;
}

export interface NativeSnapshotOptions {
  layerPath: string;
  statePath: string;
  appImageDigest?: Uint8Array;
}

/** A microVM runs; the descriptors are ours to close. */
export interface Started {
  pid: number;
  streamFd: number;
  consoleFd?: number;
  initialBytesWritten: number;
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
