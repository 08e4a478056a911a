import { join } from "node:path";
import { AGENT_ABI } from "@firn/protocol";
import {
  BasePool,
  BaseProvider,
  type Doubt,
  errorCode,
  type GuestLogLine,
  hostFingerprint,
  type InvokeRequest,
  JailChoice,
  type JailReport,
  type LocatedSnapshot,
  type MachineOptions,
  type PoolStatistics,
  SnapshotError,
  type StartedInstance,
  type StartMode,
  type StartPlan,
  Store,
  startInstance,
} from "@firn/snapshots";
import { Catalog } from "./catalog/catalog.ts";
import {
  type FunctionRecord,
  isSameVersion,
  loadMessage,
  memoryClassBytes,
} from "./catalog/function-record.ts";
import { type DeployInput, Deployments, pendingError } from "./deploy/deployments.ts";
import { Rebuilds } from "./deploy/rebuilds.ts";
import { isUnusable, mayBeDamaged } from "./deploy/snapshot-trouble.ts";
import { type LearntWorkingSet, WorkingSetLearner } from "./deploy/working-set-learner.ts";
import { FunctionsError } from "./errors.ts";
import { FunctionRuntimes } from "./runtimes/function-runtime.ts";

/** What happens that an operator should know. */
export interface HostEvents {
  /** A line that a function wrote while it was deployed. */
  readonly onDeployLog?: (name: string, line: GuestLogLine) => void;
  /**
   * A snapshot could not be used, and is made again in the background; or it could not be made again, which is tried later. The
   * function is booted regularly meanwhile.
   */
  readonly onSnapshotTrouble?: (name: string, error: unknown, remedy: "rebuild" | "later") => void;
  /** The store holds something that cannot be read: nothing is deleted while it does. */
  readonly onStoreDoubts?: (doubts: readonly Doubt[]) => void;
  /** A cold start has taught something about a function's working set, or could not be looked at. */
  readonly onWorkingSetLearnt?: (name: string, learnt: LearntWorkingSet | { error: unknown }) => void;
  /** A process could not be prepared for cold starts, which are slower until one can. */
  readonly onPoolFailure?: (error: unknown) => void;
}

/** How to start an instance of a function. */
export interface StartFunctionOptions {
  /** Sent as early as the mode allows. */
  readonly firstRequest?: InvokeRequest;
  readonly onLog?: (line: GuestLogLine) => void;
  readonly console?: boolean;
  readonly signal?: AbortSignal;
}

/** A started instance, and how it came about. */
export interface StartedFunction extends StartedInstance {
  /** The record it was started from. */
  readonly record: FunctionRecord;
  /** Code of the error for which the function was booted regularly. */
  readonly recoveredFrom?: string;
}

/** The functions of one machine: deployed, snapshotted, started. */
export class FunctionHost {
  readonly store: Store;
  readonly catalog: Catalog;
  readonly bases: BaseProvider;
  /** What functions can be deployed for; the first one of the machine is that of a deploy which names none. */
  readonly runtimes: FunctionRuntimes;
  readonly #pool: BasePool;
  readonly #deployments: Deployments;
  readonly #rebuilds: Rebuilds;
  readonly #learner: WorkingSetLearner;
  readonly #machine: MachineOptions;
  readonly #jail: JailChoice;
  readonly #events: HostEvents;
  readonly #stopped = new AbortController();
  readonly #listeners = new Set<(name: string) => void>();

  private constructor(store: Store, catalog: Catalog, machine: MachineOptions, events: HostEvents) {
    const { signal } = this.#stopped;
    const jail = new JailChoice(machine.jail);
    const pool = new BasePool(store, machine.pool ?? {}, jail, events.onPoolFailure ?? (() => {}));
    const bases = new BaseProvider({ store, digests: catalog, machine, jail, pool, signal });
    const onLog = events.onDeployLog ?? (() => {});
    const onChange = (name: string) => {
      for (const listener of this.#listeners) listener(name);
    };
    const parts = { store, catalog, bases, machine, jail };
    this.runtimes = new FunctionRuntimes(machine.runtimes.map(({ manifest }) => manifest));
    this.#deployments = new Deployments({ ...parts, runtimes: this.runtimes, onLog, signal, onChange });
    this.#rebuilds = new Rebuilds((record) => this.#deployments.rebuild(record), {
      onFailure: ({ name }, error) => events.onSnapshotTrouble?.(name, error, "later"),
    });
    this.#learner = new WorkingSetLearner(store);
    this.store = store;
    this.catalog = catalog;
    this.bases = bases;
    this.#pool = pool;
    this.#machine = machine;
    this.#jail = jail;
    this.#events = events;
  }

  /**
   * Opens the store and the catalog in a folder, and makes them if absent.
   *
   * @throws {FunctionsError} FIRN_STORE_IN_USE or FIRN_STORE_FORMAT.
   */
  static async open(folder: string, machine: MachineOptions, events: HostEvents = {}): Promise<FunctionHost> {
    const host = JSON.stringify(await hostFingerprint());
    const catalog = new Catalog(join(folder, "functions.sqlite"), { host, agentAbi: AGENT_ABI });
    try {
      const store = await Store.open(join(folder, "images"), {
        catalog: () => {
          const { snapshots, apps } = catalog.roots();
          return { snapshots, blobs: apps };
        },
        onDoubts: events.onStoreDoubts,
      });
      await store.collectGarbage();
      return new FunctionHost(store, catalog, machine, events);
    } catch (error) {
      catalog.close();
      throw error;
    }
  }

  /** A function's record. @throws {FunctionsError} FIRN_FUNCTION_NOT_FOUND. */
  get(name: string): FunctionRecord {
    const record = this.catalog.find(name);
    if (record !== undefined) return record;
    throw new FunctionsError(
      "FIRN_FUNCTION_NOT_FOUND",
      `Function ${name} does not exist. Deploy it first, or check the name.`,
    );
  }

  /** The version of a function that was accepted last, whether it serves or not. @throws {FunctionsError} FIRN_FUNCTION_NOT_FOUND. */
  newest(name: string): FunctionRecord {
    return this.catalog.newest(name) ?? this.get(name);
  }

  /** Deploys a function; see {@link Deployments.deploy}. */
  async deploy(input: DeployInput): Promise<{ record: FunctionRecord; active: Promise<FunctionRecord> }> {
    const deploy = await this.#deployments.deploy(input);
    deploy.active.then(
      (record) => this.#keepReady(record),
      () => {},
    );
    return deploy;
  }

  /** What would be deployed, of which nothing is kept; see {@link Deployments.check}. */
  async check(input: DeployInput): Promise<FunctionRecord> {
    const contents = await this.#deployments.check(input);
    const { name } = input;
    const existing = this.catalog.newest(name);
    const asNew = {
      id: 0,
      version: 0,
      state: "Pending",
      update: "InProgress",
      failure: null,
      snapshot: null,
      warnings: [],
    } as const;
    return { ...asNew, updated: new Date().toISOString(), ...existing, ...contents, name };
  }

  /** Has processes wait for a function that was deployed. */
  async #keepReady({ snapshot }: FunctionRecord): Promise<void> {
    if (snapshot === null) return;
    // One that cannot be found is made anew by its first start, which also says why there is no jail.
    await this.store
      .locate(snapshot)
      .then((located) => this.#pool.for(located))
      .catch(() => {});
  }

  /** Removes a function and its snapshot. @throws {FunctionsError} FIRN_FUNCTION_NOT_FOUND, FIRN_FUNCTION_PENDING. */
  async remove(name: string): Promise<void> {
    const record = this.get(name);
    await this.#deployments.remove(record);
    this.#rebuilds.forget(record.id);
  }

  /** Goes on with the deploys that the end of a former process cut off; see {@link Deployments.recover}. */
  recover(): Promise<void> {
    return this.#deployments.recover();
  }

  /** Has a function called with a function's name after another version of it has begun to serve, or it has been removed. */
  onChange(listener: (name: string) => void): void {
    this.#listeners.add(listener);
  }

  /**
   * Starts an instance of a function. With mode "diff" and a snapshot that cannot be used, the function is booted regularly,
   * while the snapshot is made again in the background.
   *
   * @throws {FunctionsError} FIRN_FUNCTION_NOT_FOUND, FIRN_FUNCTION_PENDING, FIRN_FUNCTION_FAILED, and what
   *   {@link startInstance} throws.
   */
  async start(name: string, mode: StartMode, options: StartFunctionOptions = {}): Promise<StartedFunction> {
    const record = this.#startable(name);
    try {
      return await this.#start(record, mode, options);
    } catch (error) {
      // A deploy has taken the snapshot away in between.
      if (!isSameVersion(record, this.get(name))) return this.start(name, mode, options);
      if (mode !== "diff" || !(await this.#snapshotIsBad(record, error))) throw error;
      this.#events.onSnapshotTrouble?.(name, error, "rebuild");
      this.#rebuilds.request(record);
      const recoveredFrom = errorCode(error) ?? "FIRN_SNAPSHOT_CORRUPT";
      return { ...(await this.#start(record, "regular", options)), recoveredFrom };
    }
  }

  /** Bytes in the store that a start in this mode needs; the app image, which every mode needs, is not counted. */
  async storeBytes(record: FunctionRecord, mode: StartMode): Promise<number> {
    if (mode === "regular") return 0;
    if (mode === "diff") return record.snapshot === null ? 0 : this.store.chainBytes(record.snapshot);
    const base = await this.bases.base(record.runtime, memoryClassBytes(record.memoryMib));
    return this.store.chainBytes(base.digest);
  }

  /** The jail that VMM processes get, found out once. @throws {FirnVmmError} FIRN_JAIL_UNAVAILABLE, FIRN_PLATFORM_UNSUPPORTED and others. */
  probeJail(): Promise<JailReport> {
    return this.#jail.report();
  }

  /** The processes that wait for cold starts, and how they have served. */
  poolStatistics(): PoolStatistics {
    return this.#pool.microvms.statistics();
  }

  /** Stops what is being made, ends the processes that wait for cold starts, and closes the catalog. Instances are their owner's to close. */
  async close(): Promise<void> {
    this.#rebuilds.close();
    this.#stopped.abort(new FunctionsError("FIRN_ABORTED", "The program ends."));
    await this.#deployments.settle();
    await this.#learner.close();
    await this.bases.settle();
    await this.#pool.microvms.close();
    this.store.close();
    this.catalog.close();
  }

  async #start(
    record: FunctionRecord,
    mode: StartMode,
    options: StartFunctionOptions,
  ): Promise<StartedFunction> {
    const { deadlines } = this.#machine;
    const { rootDiskPath } = this.bases.runtime(record.runtime);
    const began = performance.now();
    const plan = await this.#plan(record, mode);
    const locate = { name: "locate", milliseconds: performance.now() - began };
    const jail = await this.#jail.options();
    const pool = plan.mode === "diff" ? { pool: await this.#pool.for(plan.snapshot) } : {};
    const started = await startInstance(plan, {
      ...options,
      ...pool,
      store: this.store,
      environment: record.environment,
      rootDiskPath,
      jail,
      deadlines,
      phases: [locate],
    });
    if (mode === "diff") this.#rebuilds.forget(record.id);
    // Samples have shown what a request uses, where there are any.
    if (plan.mode === "diff" && record.samples.length === 0) void this.#learn(record, plan.snapshot, started);
    return { ...started, record };
  }

  /** Learns from a start once its first request is answered, which waits for nothing here. */
  async #learn(record: FunctionRecord, snapshot: LocatedSnapshot, started: StartedInstance): Promise<void> {
    const outcome = await started.firstResponse?.then(({ ended }) => ended).catch(() => undefined);
    if (outcome === undefined || outcome.functionError !== "") return;
    try {
      const learnt = await this.#learner.learn(snapshot, started.instance);
      if (learnt !== undefined) this.#events.onWorkingSetLearnt?.(record.name, learnt);
    } catch (error) {
      // Nothing depends on it, and the next start is looked at.
      this.#events.onWorkingSetLearnt?.(record.name, { error });
    }
  }

  #startable(name: string): FunctionRecord {
    const record = this.get(name);
    if (record.state === "Active") return record;
    if (record.state === "Pending" && this.#deployments.isDeploying(name)) throw pendingError(name);
    // What failed on this machine and not in the function is tried again: its snapshot is missing, and made.
    const code = record.failure?.code ?? "";
    if (!code.startsWith("FIRN_FUNCTION_")) return record;
    const reason = (record.failure?.message ?? "").replace(/[^.!?]$/, "$&.");
    throw new FunctionsError(
      "FIRN_FUNCTION_FAILED",
      `The deploy of function ${name} failed (${code}): ${reason} Deploy it again.`,
    );
  }

  async #plan(record: FunctionRecord, mode: StartMode): Promise<StartPlan> {
    if (mode === "diff") {
      if (record.snapshot === null) {
        throw new SnapshotError("FIRN_SNAPSHOT_MISSING", `Function ${record.name} has no snapshot yet.`);
      }
      const [snapshot] = await Promise.all([
        this.store.locate(record.snapshot),
        this.store
          .read(record.snapshot)
          .then((manifest) => this.bases.requireCurrent(manifest, record.runtime)),
      ]);
      return { mode, snapshot };
    }
    await this.store.blobs.check(record.app);
    const load = loadMessage(record, this.runtimes.get(record.runtime).loadEnvironment);
    const app = { path: this.store.blobs.pathOf(record.app.digest), digest: record.app.digest };
    const memoryBytes = memoryClassBytes(record.memoryMib);
    if (mode === "base") {
      const base = await this.bases.base(record.runtime, memoryBytes);
      return { mode, snapshot: await this.store.locate(base.digest), app, load };
    }
    return { mode, ...(await this.bases.bootInputs(record.runtime)), memoryBytes, app, load };
  }

  async #snapshotIsBad(record: FunctionRecord, error: unknown): Promise<boolean> {
    if (isUnusable(error)) return true;
    return record.snapshot !== null && mayBeDamaged(error) && (await this.store.isDamaged(record.snapshot));
  }
}
