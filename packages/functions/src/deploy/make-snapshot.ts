import type { Warning } from "@firn/protocol";
import {
  type BaseProvider,
  createDiff,
  type Digest,
  errorCode,
  type GuestLogLine,
  type JailChoice,
  type MachineOptions,
  type Store,
} from "@firn/snapshots";
import { type FunctionRecord, loadMessage, memoryClassBytes } from "../catalog/function-record.ts";
import type { FunctionRuntimes } from "../runtimes/function-runtime.ts";
import { recordWorkingSet } from "./record-working-set.ts";
import { mayBeDamaged } from "./snapshot-trouble.ts";

/** What snapshots are made with. */
export interface SnapshotParts {
  readonly store: Store;
  readonly bases: BaseProvider;
  readonly machine: MachineOptions;
  readonly runtimes: FunctionRuntimes;
  readonly jail: JailChoice;
  readonly onLog: (name: string, line: GuestLogLine) => void;
  /** Aborts when the program ends. */
  readonly signal: AbortSignal;
}

/** A version's snapshot. */
export interface VersionSnapshot {
  /** Of its manifest. */
  readonly digest: Digest;
  /** What its clones share although they should not. */
  readonly warnings: readonly Warning[];
}

/**
 * Makes a version's snapshot, and proves by its samples that it answers. A base that turns out to be damaged or of another
 * image is made anew, once.
 *
 * @throws {FunctionFailedError} if the function fails while it gets ready, or at a sample.
 */
export async function makeSnapshot(parts: SnapshotParts, record: FunctionRecord): Promise<VersionSnapshot> {
  const { store, bases } = parts;
  const memoryBytes = memoryClassBytes(record.memoryMib);
  const base = await bases.base(record.runtime, memoryBytes);
  try {
    return await makeOn(parts, base, record);
  } catch (error) {
    const incompatible = errorCode(error) === "FIRN_SNAPSHOT_INCOMPATIBLE";
    if (!incompatible && !(mayBeDamaged(error) && (await store.isDamaged(base.digest)))) throw error;
    await bases.discard(base);
    return makeOn(parts, await bases.base(record.runtime, memoryBytes), record);
  }
}

async function makeOn(
  { store, bases, machine, runtimes, jail, onLog, signal }: SnapshotParts,
  base: { readonly digest: Digest },
  record: FunctionRecord,
): Promise<VersionSnapshot> {
  const common = {
    rootDiskPath: bases.runtime(record.runtime).rootDiskPath,
    jail: await jail.options(),
    deadlines: machine.deadlines,
    onLog: (line: GuestLogLine) => onLog(record.name, line),
    signal,
  };
  const load = loadMessage(record, runtimes.get(record.runtime).loadEnvironment);
  const warnings: Warning[] = [];
  const onWarning = (warning: Warning) => void warnings.push(warning);
  const { app } = record;
  const diff = await createDiff(store, { ...common, base: base.digest, app, load, onWarning });
  try {
    const { samples, timeoutMs, environment } = record;
    await recordWorkingSet(store, diff, { ...common, samples, timeoutMs, environment });
    return { digest: diff.digest, warnings };
  } catch (error) {
    await store.remove(diff.digest);
    throw error;
  }
}
