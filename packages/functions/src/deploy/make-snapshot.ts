import type { Warning } from "@firn/protocol";
import {
  type BaseProvider,
  createDiff,
  type Digest,
  errorCode,
  type GuestLogLine,
  type JailChoice,
  type MachineOptions,
  type SourceInvoke,
  type Store,
} from "@firn/snapshots";
import { type FunctionRecord, loadMessage, memoryClassBytes } from "../catalog/function-record.ts";
import type { FunctionRuntimes } from "../runtimes/function-runtime.ts";
import { sampleRequests } from "./ask-sample.ts";
import { recordWorkingSet } from "./record-working-set.ts";
import { describeRehearsal, rehearse } from "./rehearse.ts";
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
 * Makes a version's snapshot, with the samples answered in it beforehand, and proves by them that it answers. A base that turns out to be damaged or of another
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
  const { app, samples, timeoutMs, environment } = record;
  const missing = Object.keys(environment).filter((variable) => !Object.hasOwn(load.environment, variable));
  const isRehearsed = samples.length > 0 && (record.warm ?? missing.length === 0);
  if (samples.length > 0 && record.warm === null && !isRehearsed) onWarning(notRehearsed(missing));
  const rehearseSamples = async (invoke: SourceInvoke) => {
    const rounds = await rehearse(invoke, sampleRequests(samples, timeoutMs), machine.deadlines.rehearsalMs);
    const line = { stream: "agent", level: "info", requestId: undefined };
    common.onLog({ ...line, text: describeRehearsal(rounds) });
  };
  const diff = await createDiff(store, {
    ...common,
    ...(isRehearsed ? { rehearse: rehearseSamples } : {}),
    base: base.digest,
    app,
    load,
    onWarning,
  });
  try {
    await recordWorkingSet(store, diff, { ...common, samples, timeoutMs, environment });
    return { digest: diff.digest, warnings };
  } catch (error) {
    await store.remove(diff.digest);
    throw error;
  }
}

/** A function must not remember that a variable was not there. */
function notRehearsed(missing: readonly string[]): Warning {
  return {
    code: "FIRN_NOT_REHEARSED",
    message:
      `The samples were not answered before the snapshot, which makes the first requests of clones slower: ${missing.join(", ")} would not have ` +
      'been set. In package.json, "firn": { "snapshotEnvironment": true } puts variables into the snapshot, "warm": true answers the ' +
      'samples without them, and "warm": false does not, without this warning.',
  };
}
