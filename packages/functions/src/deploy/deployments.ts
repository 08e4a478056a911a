import { isDeepStrictEqual } from "node:util";
import {
  type BaseProvider,
  createDiff,
  type Descriptor,
  type Digest,
  errorCode,
  FunctionFailedError,
  type GuestLogLine,
  type JailChoice,
  type MachineOptions,
  type SnapshotManifest,
  type Store,
} from "@firn/snapshots";
import { type AppSource, createAppImage } from "../archive/app-image.ts";
import type { Catalog } from "../catalog/catalog.ts";
import {
  type DeployFailure,
  type FunctionRecord,
  loadMessage,
  memoryClassBytes,
} from "../catalog/function-record.ts";
import { FunctionsError } from "../errors.ts";
import { recordWorkingSet } from "./record-working-set.ts";
import { mayBeDamaged } from "./snapshot-trouble.ts";

/** What a deploy needs. */
export interface DeployInput {
  readonly name: string;
  readonly source: AppSource;
  /** Module to import; by default package.json's `main`, else `index`. */
  readonly entry?: string | undefined;
  /** Name of the export. */
  readonly handler: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly memoryMib: number;
  readonly timeoutMs: number;
  readonly readyTimeoutMs: number;
}

/** What deployments work with. */
export interface DeploymentParts {
  readonly store: Store;
  readonly catalog: Catalog;
  readonly bases: BaseProvider;
  readonly machine: MachineOptions;
  readonly jail: JailChoice;
  readonly onLog: (name: string, line: GuestLogLine) => void;
  /** Aborts when the program ends. */
  readonly signal: AbortSignal;
}

/** Brings functions from an archive to a snapshot, and keeps catalog and store in step while it does. */
export class Deployments {
  readonly #parts: DeploymentParts;
  readonly #deploys = new Map<string, Promise<unknown>>();
  readonly #rebuilds = new Map<string, Promise<FunctionRecord>>();
  #garbage: Promise<unknown> = Promise.resolve();

  constructor(parts: DeploymentParts) {
    this.#parts = parts;
  }

  /** Whether a deploy of this function is under way. */
  isDeploying(name: string): boolean {
    return this.#deploys.has(name);
  }

  /**
   * Deploys a function, new or again. A new deploy that fails leaves an active function as it was; one that changes nothing
   * keeps its snapshot.
   *
   * @returns The record once the app is in the store, and a promise for the record once its snapshot is.
   * @throws {FunctionsError} FIRN_APP_INVALID, FIRN_APP_TOO_LARGE, FIRN_FUNCTION_PENDING, FIRN_INVALID_PARAMETER.
   */
  async deploy(input: DeployInput): Promise<{ record: FunctionRecord; active: Promise<FunctionRecord> }> {
    const { name } = input;
    memoryClassBytes(input.memoryMib);
    if (this.isDeploying(name)) throw pendingError(name);
    const prepared = Promise.withResolvers<FunctionRecord>();
    const active = this.#parts.store.adding(async () => {
      const record = await this.#prepare(input);
      prepared.resolve(record);
      return record.state === "Active" ? record : this.#activate(record);
    });
    // Before the app is in the store it is this call that fails, afterwards the promise that it returns.
    active.catch(prepared.reject);
    const over = active
      .catch(() => {})
      .then(() => {
        this.#deploys.delete(name);
        this.#collectGarbage();
      });
    this.#deploys.set(name, over);
    return { record: await prepared.promise, active };
  }

  /** Makes a function's snapshot again from the app in the store. Callers at the same time share the work. */
  rebuild(record: FunctionRecord): Promise<FunctionRecord> {
    const running = this.#rebuilds.get(record.name);
    if (running !== undefined) return running;
    const { store, bases } = this.#parts;
    const rebuild = store
      .adding(async () => {
        const base = await bases.base(memoryClassBytes(record.memoryMib));
        if (await store.isDamaged(base.digest)) await bases.discard(base);
        await store.blobs.verify(record.app);
        return this.#activate(record);
      })
      .finally(() => this.#rebuilds.delete(record.name));
    this.#rebuilds.set(record.name, rebuild);
    return rebuild;
  }

  /** Removes a function and its snapshot. @throws {FunctionsError} FIRN_FUNCTION_PENDING. */
  async remove(record: FunctionRecord): Promise<void> {
    const { name, snapshot } = record;
    if (this.isDeploying(name) || this.#rebuilds.has(name)) throw pendingError(name);
    this.#parts.catalog.remove(name);
    if (snapshot !== null) await this.#removeSnapshot(snapshot);
    this.#collectGarbage();
  }

  /** Waits for what is under way, which the parts' signal has told to stop. */
  async settle(): Promise<void> {
    await Promise.allSettled([...this.#deploys.values(), ...this.#rebuilds.values()]);
    await this.#garbage;
  }

  async #prepare(input: DeployInput): Promise<FunctionRecord> {
    const { store, catalog, signal } = this.#parts;
    const { source, entry: wantedEntry, ...settings } = input;
    const { blob, entry, samples } = await createAppImage(store, source, { entry: wantedEntry, signal });
    const existing = catalog.find(input.name);
    if (existing !== undefined && (await this.#isAsWanted(existing, { ...settings, entry }, blob))) {
      return existing;
    }
    const record: FunctionRecord = {
      ...settings,
      entry,
      samples,
      app: blob,
      state: "Pending",
      failure: null,
      snapshot: null,
      revision: (existing?.revision ?? 0) + 1,
      updated: new Date().toISOString(),
    };
    if (existing?.state !== "Active") catalog.put(record);
    return record;
  }

  /** Whether a function is deployed from the same files with the same settings, and its snapshot can be used. */
  async #isAsWanted(
    existing: FunctionRecord,
    settings: Omit<DeployInput, "source">,
    app: Descriptor,
  ): Promise<boolean> {
    if (existing.state !== "Active" || existing.failure !== null || existing.snapshot === null) return false;
    const deployed = Object.fromEntries(
      Object.keys(settings).map((key) => [key, Reflect.get(existing, key)]),
    );
    if (existing.app.digest !== app.digest || !isDeepStrictEqual(deployed, settings)) return false;
    const { store, bases } = this.#parts;
    return store
      .locate(existing.snapshot)
      .then(({ manifest }) => manifest.workingSet !== undefined && bases.isCurrent(manifest))
      .catch(() => false);
  }

  async #activate(record: FunctionRecord): Promise<FunctionRecord> {
    const { store, catalog } = this.#parts;
    const { name, revision } = record;
    try {
      const manifest = await this.#makeDiff(record);
      const current = catalog.find(name);
      if (current !== undefined && current.revision > revision) {
        await store.remove(manifest.digest);
        return current;
      }
      const active: FunctionRecord = { ...record, state: "Active", failure: null, snapshot: manifest.digest };
      catalog.put(active);
      if (current?.snapshot) await this.#removeSnapshot(current.snapshot);
      return active;
    } catch (error) {
      const failure = describeFailure(error);
      const current = catalog.find(name);
      if (current?.state === "Active") catalog.put({ ...current, failure });
      else catalog.put({ ...record, state: "Failed", failure });
      throw error;
    }
  }

  async #makeDiff(record: FunctionRecord): Promise<SnapshotManifest> {
    const { store, bases } = this.#parts;
    const memoryBytes = memoryClassBytes(record.memoryMib);
    const base = await bases.base(memoryBytes);
    try {
      return await this.#makeDiffOf(base, record);
    } catch (error) {
      const incompatible = errorCode(error) === "FIRN_SNAPSHOT_INCOMPATIBLE";
      if (!incompatible && !(mayBeDamaged(error) && (await store.isDamaged(base.digest)))) throw error;
      await bases.discard(base);
      return this.#makeDiffOf(await bases.base(memoryBytes), record);
    }
  }

  async #makeDiffOf(base: SnapshotManifest, record: FunctionRecord): Promise<SnapshotManifest> {
    const { store, machine, jail, onLog, signal } = this.#parts;
    const common = {
      rootDiskPath: machine.rootDiskPath,
      jail: await jail.options(),
      deadlines: machine.deadlines,
      onLog: (line: GuestLogLine) => onLog(record.name, line),
      signal,
    };
    const load = loadMessage(record);
    const diff = await createDiff(store, { ...common, base: base.digest, app: record.app, load });
    try {
      const { samples, timeoutMs } = record;
      return await recordWorkingSet(store, diff, { ...common, samples, timeoutMs });
    } catch (error) {
      await store.remove(diff.digest);
      throw error;
    }
  }

  async #removeSnapshot(digest: Digest): Promise<void> {
    const { catalog, store } = this.#parts;
    if (catalog.list().every(({ snapshot }) => snapshot !== digest)) await store.remove(digest);
  }

  /** Frees, in the background and when nothing is being added, what nothing needs any more. */
  #collectGarbage(): void {
    const { catalog, store, signal } = this.#parts;
    const keep = () => catalog.list().map(({ app }) => app.digest);
    if (!signal.aborted) this.#garbage = store.collectGarbage(keep).catch(() => {});
  }
}

/** The error for a function that cannot be used or changed because it is being deployed. */
export function pendingError(name: string): FunctionsError {
  return new FunctionsError(
    "FIRN_FUNCTION_PENDING",
    `Function ${name} is being deployed. Try again afterwards.`,
  );
}

function describeFailure(error: unknown): DeployFailure {
  const message = error instanceof Error ? error.message : String(error);
  const stack = error instanceof FunctionFailedError ? error.guestStack : "";
  return { code: errorCode(error) ?? "FIRN_INTERNAL", message, stack };
}
