import { rm } from "node:fs/promises";
import type { JailOptions } from "@firn/snapshots";
import {
  type Deadlines,
  type GuestLogLine,
  type InvokeRequest,
  type LocatedSnapshot,
  type SnapshotManifest,
  type Store,
  startInstance,
} from "@firn/snapshots";
import type { Sample } from "../archive/sample.ts";
import { requireAnswer, sampleRequests } from "./ask-sample.ts";

/** How to record a working set. */
export interface RecordOptions {
  readonly rootDiskPath: string;
  /** Requests to answer, each in a clone of its own; without any, a clone only resumes. */
  readonly samples: readonly Sample[];
  /** Milliseconds that the function may take for each. */
  readonly timeoutMs: number;
  /** Variables of the clones, as those that serve have them. */
  readonly environment: Readonly<Record<string, string>>;
  readonly jail?: JailOptions | undefined;
  readonly deadlines?: Deadlines;
  readonly onLog?: (line: GuestLogLine) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Starts throw-away clones of a function's snapshot, has each answer a sample, and publishes what all of them used as the
 * snapshot's working set. That every sample is answered proves that the snapshot works before anybody is served from it.
 *
 * @throws {FunctionFailedError} FIRN_FUNCTION_SAMPLE if the function fails at a sample, or as {@link startInstance}.
 */
export async function recordWorkingSet(
  store: Store,
  manifest: SnapshotManifest,
  options: RecordOptions,
): Promise<SnapshotManifest> {
  const snapshot = await store.locate(manifest.digest);
  const requests = sampleRequests(options.samples, options.timeoutMs);
  const files: string[] = [];
  try {
    for (const request of requests.length === 0 ? [undefined] : requests) {
      const path = store.temporaryPath("working-set");
      const previousPath = files.at(-1);
      files.push(path);
      await recordClone(store, snapshot, request, { path, previousPath }, options);
    }
    await store.addWorkingSet(manifest, files.at(-1) as string, { signal: options.signal });
    return manifest;
  } finally {
    for (const path of files) await rm(path, { force: true });
  }
}

async function recordClone(
  store: Store,
  snapshot: LocatedSnapshot,
  request: InvokeRequest | undefined,
  files: { path: string; previousPath: string | undefined },
  { rootDiskPath, environment, jail, deadlines, onLog, signal }: RecordOptions,
): Promise<void> {
  const { instance, firstResponse } = await startInstance(
    { mode: "diff", snapshot },
    {
      store,
      rootDiskPath,
      jail,
      recordReads: true,
      environment,
      ...(request === undefined ? {} : { firstRequest: request }),
      ...(deadlines === undefined ? {} : { deadlines }),
      ...(onLog === undefined ? {} : { onLog }),
      ...(signal === undefined ? {} : { signal }),
    },
  );
  await using clone = instance;
  const response = await (await firstResponse)?.whole();
  if (request !== undefined && response !== undefined) requireAnswer(request, response);
  await clone.recordWorkingSet(files);
}
