import { isDeepStrictEqual } from "node:util";
import { digestOfFile, errorCode, FunctionFailedError } from "@firn/snapshots";
import type { AppLimits } from "../archive/app-errors.ts";
import { type AppSource, createAppImage } from "../archive/app-image.ts";
import type { ServerCommand } from "../archive/app-settings.ts";
import type { Catalog } from "../catalog/catalog.ts";
import {
  type DeployFailure,
  type FunctionRecord,
  type FunctionSettings,
  isSameVersion,
  memoryClassBytes,
  type VersionContents,
} from "../catalog/function-record.ts";
import { FunctionsError } from "../errors.ts";
import { makeSnapshot, type SnapshotParts } from "./make-snapshot.ts";

/** What a deploy needs. */
export interface DeployInput
  extends Omit<FunctionSettings, "runtime" | "wantedEntry" | "wantedWarm" | "wantedServer" | "annotations"> {
  readonly name: string;
  readonly source: AppSource;
  /** Name of the runtime, its own or one of AWS Lambda; by default the first one of the machine, or the one for programs if it is a server. */
  readonly runtime?: string | undefined;
  /** Module to import, its extension may be left out; by default what the app's package.json says, else what the runtime says. */
  readonly entry?: string | null | undefined;
  /** Whether the samples are answered before the snapshot, until they get no faster; by default what the app says. */
  readonly warm?: boolean | null | undefined;
  /** How to start the HTTP server that the function is; by default what the app says. */
  readonly server?: ServerCommand | null | undefined;
  readonly annotations?: Readonly<Record<string, string>>;
  /** What may come out of the archive. */
  readonly limits?: AppLimits;
}

/** What deployments work with. */
export interface DeploymentParts extends SnapshotParts {
  readonly catalog: Catalog;
  /** Called after a version has begun to serve, or a function has been removed. */
  readonly onChange: (name: string) => void;
}

/** Brings functions from an archive to a snapshot, and keeps catalog and store in step while it does. */
export class Deployments {
  readonly #parts: DeploymentParts;
  readonly #deploys = new Map<string, Promise<unknown>>();
  readonly #rebuilds = new Map<number, { record: FunctionRecord; done: Promise<FunctionRecord> }>();
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
   * keeps its snapshot. Once this resolves the deploy is accepted: should the program end, {@link recover} of the next one goes
   * on with it.
   *
   * @returns The accepted version, and a promise for the record that serves once its snapshot is there.
   * @throws {FunctionsError} FIRN_APP_INVALID, FIRN_APP_TOO_LARGE, FIRN_FUNCTION_PENDING, FIRN_INVALID_PARAMETER.
   */
  async deploy(input: DeployInput): Promise<{ record: FunctionRecord; active: Promise<FunctionRecord> }> {
    memoryClassBytes(input.memoryMib);
    const accepted = Promise.withResolvers<FunctionRecord>();
    const active = this.#exclusively(input.name, async () => {
      const { record, done } = await this.#accept(input);
      accepted.resolve(record);
      return done ? record : this.#activate(record);
    });
    // Before the app is in the store it is this call that fails, afterwards the promise that it returns.
    active.catch(accepted.reject);
    return { record: await accepted.promise, active };
  }

  /**
   * Does what a deploy does until it is accepted, and keeps nothing of it.
   *
   * @returns What would be accepted.
   * @throws As {@link deploy}.
   */
  async check(input: DeployInput): Promise<VersionContents> {
    memoryClassBytes(input.memoryMib);
    const contents = await this.#parts.store.adding(() => this.#contents(input));
    this.#collectGarbage();
    return contents;
  }

  /** Goes on with the deploys that the end of a former process cut off. One that fails says so in its record. */
  async recover(): Promise<void> {
    for (const record of this.#parts.catalog.pending()) {
      if (this.isDeploying(record.name) || this.#parts.signal.aborted) continue;
      await this.#exclusively(record.name, () => this.#activate(record)).catch(() => {});
    }
  }

  /** Makes a version's snapshot again from the app in the store. Callers at the same time share the work. */
  rebuild(record: FunctionRecord): Promise<FunctionRecord> {
    const running = this.#rebuilds.get(record.id);
    if (running !== undefined && isSameVersion(running.record, record)) return running.done;
    const { store, bases } = this.#parts;
    const done = store
      .adding(async () => {
        // If there can be none, the record is told so below.
        const base = await bases
          .base(record.runtime, memoryClassBytes(record.memoryMib))
          .catch(() => undefined);
        if (base !== undefined && (await store.isDamaged(base.digest))) await bases.discard(base);
        await store.blobs.verify(record.app);
        return this.#activate(record);
      })
      .finally(() => {
        if (this.#rebuilds.get(record.id)?.done === done) this.#rebuilds.delete(record.id);
      });
    this.#rebuilds.set(record.id, { record, done });
    return done;
  }

  /** Removes a function and its snapshots. @throws {FunctionsError} FIRN_FUNCTION_PENDING. */
  async remove(record: FunctionRecord): Promise<void> {
    const { name } = record;
    if (this.isDeploying(name)) throw pendingError(name);
    const { catalog, store, bases } = this.#parts;
    const unused = await store.freeing(() => catalog.remove(record));
    this.#parts.onChange(name);
    await bases.release();
    for (const digest of unused) await store.remove(digest);
    this.#collectGarbage();
  }

  /** Waits for what is under way, which the parts' signal has told to stop. */
  async settle(): Promise<void> {
    const rebuilds = [...this.#rebuilds.values()].map(({ done }) => done);
    await Promise.allSettled([...this.#deploys.values(), ...rebuilds]);
    await this.#garbage;
  }

  /** Runs a deploy of a function, of which there is one at a time. Nothing that it adds to the store is garbage before its end. */
  async #exclusively(name: string, task: () => Promise<FunctionRecord>): Promise<FunctionRecord> {
    if (this.isDeploying(name)) throw pendingError(name);
    const deploy = this.#parts.store.adding(task).finally(() => {
      this.#deploys.delete(name);
      this.#collectGarbage();
    });
    this.#deploys.set(name, deploy);
    return deploy;
  }

  async #accept(input: DeployInput): Promise<{ record: FunctionRecord; done: boolean }> {
    const { catalog, onChange } = this.#parts;
    const { name } = input;
    const contents = await this.#contents(input);
    const existing = catalog.find(name);
    const unchanged = existing !== undefined && (await this.#isAsWanted(existing, contents));
    const { code, annotations } = contents;
    const isSame = unchanged && isDeepStrictEqual([existing.code, existing.annotations], [code, annotations]);
    if (isSame) return { record: existing, done: true };
    const record = catalog.accept(name, contents);
    if (!unchanged || existing.snapshot === null) return { record, done: false };
    // The same files in another archive, or other annotations: the snapshot serves this version as well.
    catalog.activate(record, existing.snapshot, existing.warnings);
    onChange(name);
    return { record: catalog.find(name) as FunctionRecord, done: true };
  }

  async #contents({
    name,
    source,
    runtime: wantedRuntime,
    entry: wantedEntry = null,
    warm: wantedWarm = null,
    server: wantedServer = null,
    annotations = {},
    limits,
    ...settings
  }: DeployInput): Promise<VersionContents> {
    const { store, signal, runtimes } = this.#parts;
    const found = runtimes.get(wantedRuntime);
    const { entryPoints, programs } = found;
    const code = "archive" in source ? await digestOfFile(source.archive, { signal }) : undefined;
    const {
      blob: app,
      entry,
      settings: appSettings,
    } = await createAppImage(store, source, {
      entry: wantedEntry ?? undefined,
      entryPoints,
      programs,
      server: wantedServer ?? undefined,
      ...(limits === undefined ? {} : { limits }),
      signal,
    });
    const { digest, size } = app;
    const isServer = appSettings.server !== null && wantedRuntime === undefined;
    const { name: runtime } = isServer ? runtimes.forPrograms() : found;
    const made = {
      runtime,
      wantedEntry,
      wantedWarm,
      wantedServer,
      entry,
      app,
      code: code ?? { digest, size },
    };
    const warm = wantedWarm ?? appSettings.warm;
    return { ...settings, ...appSettings, warm, annotations, ...made };
  }

  /** Whether a function serves the same files with the same settings, and its snapshot can be used. */
  async #isAsWanted(existing: FunctionRecord, wanted: VersionContents): Promise<boolean> {
    if (existing.update !== "Successful" || existing.snapshot === null) return false;
    for (const key of Object.keys(wanted) as (keyof VersionContents)[]) {
      if (key !== "code" && key !== "annotations" && !isDeepStrictEqual(existing[key], wanted[key]))
        return false;
    }
    const { store, bases } = this.#parts;
    return store
      .locate(existing.snapshot)
      .then(
        ({ manifest, workingSetPath }) =>
          workingSetPath !== undefined && bases.isCurrent(manifest, existing.runtime),
      )
      .catch(() => false);
  }

  async #activate(record: FunctionRecord): Promise<FunctionRecord> {
    const { store, catalog, signal, onChange } = this.#parts;
    try {
      const { digest, warnings } = await makeSnapshot(this.#parts, record);
      const activated = catalog.activate(record, digest, warnings);
      for (const unused of activated?.unused ?? [digest]) await store.remove(unused);
      if (activated === undefined) {
        throw new FunctionsError("FIRN_FUNCTION_NOT_FOUND", `Function ${record.name} was removed meanwhile.`);
      }
      onChange(record.name);
      return activated.record;
    } catch (error) {
      // What the end of the program cuts off is gone on with by the next one.
      if (!signal.aborted) catalog.fail(record, describeFailure(error));
      throw error;
    }
  }

  /** Frees, in the background and when nothing is being added, what nothing needs any more. */
  #collectGarbage(): void {
    const { bases, store, signal } = this.#parts;
    if (signal.aborted) return;
    this.#garbage = store
      .collectGarbage()
      .then(({ removedManifests }) => bases.forget(removedManifests))
      .catch(() => {});
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
