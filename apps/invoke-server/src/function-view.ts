import type { FunctionRecord } from "@firn/functions";
import { type Digest, describeWorkingSet, type SnapshotManifest, type Store } from "@firn/snapshots";

/** A function as `GET /functions/{name}` shows it. */
export interface FunctionView {
  readonly name: string;
  readonly state: FunctionRecord["state"];
  /** Why the last deploy failed; an active function goes on with the one before. */
  readonly failure: FunctionRecord["failure"];
  /** What clones of its snapshot share although they should not, and what to do. */
  readonly warnings: FunctionRecord["warnings"];
  readonly runtime: string;
  readonly entry: string;
  readonly handler: string;
  /** Names only: values may be secret. */
  readonly environment: readonly string[];
  readonly memoryMib: number;
  readonly timeoutMs: number;
  readonly readyTimeoutMs: number;
  readonly version: number;
  readonly updated: string;
  readonly appImage: { readonly digest: string; readonly bytes: number };
}

/** Its snapshot, in bytes. */
export interface SnapshotView {
  readonly digest: string;
  readonly parent: string | null;
  readonly created: string;
  readonly runtime: string;
  readonly memoryBytes: number;
  readonly layerBytes: number;
  readonly stateBytes: number;
  /** Memory that clones use and are given ahead, in bytes; `null` if there is no such list. */
  readonly workingSet: { readonly writtenBytes: number; readonly readBytes: number } | null;
  /** What the VMM reported when it was taken. */
  readonly report: Readonly<Record<string, number>>;
}

/** What may be told about a function. */
export function viewFunction(record: FunctionRecord): FunctionView {
  const { name, state, failure, warnings, runtime, entry, handler } = record;
  const { memoryMib, timeoutMs, readyTimeoutMs, version, updated } = record;
  const appImage = { digest: record.app.digest, bytes: record.app.size };
  const environment = Object.keys(record.environment);
  return {
    name,
    state,
    failure,
    warnings,
    runtime,
    entry,
    handler,
    environment,
    memoryMib,
    timeoutMs,
    readyTimeoutMs,
    version,
    updated,
    appImage,
  };
}

/** What may be told about a function's snapshot; `null` if there is none that can be read. */
export async function viewSnapshot(store: Store, record: FunctionRecord): Promise<SnapshotView | null> {
  if (record.snapshot === null) return null;
  const manifest: SnapshotManifest | undefined = await store.read(record.snapshot).catch(() => undefined);
  if (manifest === undefined || !store.has(manifest.digest)) return null;
  const { parent, runtime, memoryBytes } = manifest.config;
  const { digest } = manifest;
  const { created, report } = store.describe(digest);
  const [layerBytes, stateBytes] = [manifest.memory.size, manifest.state.size];
  const workingSet = await viewWorkingSet(store, digest);
  return { digest, parent, created, runtime, memoryBytes, layerBytes, stateBytes, workingSet, report };
}

async function viewWorkingSet(store: Store, snapshot: Digest): Promise<SnapshotView["workingSet"]> {
  try {
    const { workingSetPath } = await store.locate(snapshot);
    if (workingSetPath === undefined) return null;
    const { writtenBytes, readBytes } = await describeWorkingSet(workingSetPath);
    return { writtenBytes, readBytes };
  } catch {
    return null;
  }
}
