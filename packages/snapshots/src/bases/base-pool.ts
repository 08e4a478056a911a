import {
  createMicrovmPool,
  type FirnVmmError,
  type MicrovmPool,
  type PoolBase,
  type PoolOptions,
} from "@firn/vmm";
import { errorCode } from "../errors.ts";
import type { Digest } from "../store/digest.ts";
import type { SnapshotManifest } from "../store/manifest.ts";
import type { LocatedSnapshot } from "../store/snapshot-reader.ts";
import type { Store } from "../store/store.ts";
import type { JailChoice } from "./jail-choice.ts";

/** How many VMM processes wait for cold starts, and what they may cost; see `PoolOptions` of `@firn/vmm`. */
export type PoolSettings = Pick<PoolOptions, "size" | "memoryBudgetBytes" | "maxMemoryPressure">;

/** How many functions a base's processes are prepared for at once: what one reads and another has overwritten costs that one time. */
const WORKING_SETS = 4;

/** The pool of a store's bases: processes that wait for a diff on top of one of them. */
export class BasePool {
  readonly microvms: MicrovmPool;
  readonly #store: Store;
  readonly #jail: JailChoice;
  /** By the state file of a base: the diffs that were started last with their working sets, the last one first. */
  readonly #workingSets = new Map<string, readonly { readonly diff: Digest; readonly path: string }[]>();

  constructor(
    store: Store,
    settings: PoolSettings,
    jail: JailChoice,
    onFailure: (error: FirnVmmError) => void,
  ) {
    this.#store = store;
    this.#jail = jail;
    this.microvms = createMicrovmPool({ ...settings, onFailure });
  }

  /** Keeps processes ready for diffs of a base that has been made, or was found. */
  async add(base: SnapshotManifest): Promise<void> {
    // One that cannot be found is of no use to anybody, nor is one without a jail; whoever starts from it will say why.
    await this.#store
      .locate(base.digest)
      .then((located) => this.#add(located))
      .catch(() => {});
  }

  /** The pool, with processes kept ready for this diff and its like from now on. @throws {FirnVmmError} What `probeJail` throws. */
  async for(diff: LocatedSnapshot): Promise<MicrovmPool> {
    const parent = diff.chain.at(-2);
    if (parent !== undefined) {
      const statePath = this.#store.blobs.pathOf(parent.state.digest);
      const layers = diff.layers.slice(0, -1);
      const note = this.#note(statePath, diff.manifest.digest, diff.workingSetPath);
      await this.#add({ layers, statePath, ...note });
    }
    return this.microvms;
  }

  /** Ends the processes that wait for diffs of this base; resolves when they are gone. */
  async remove(base: SnapshotManifest): Promise<void> {
    const { digest } = base.memory;
    const layers = [{ path: this.#store.blobs.pathOf(digest), digest }];
    // Without a jail there are none.
    const jail = await this.#jail.options().catch(() => undefined);
    if (jail !== undefined) await this.microvms.remove({ layers, jail });
  }

  /** The working sets that processes for this base are to be prepared with from now on. */
  #note(statePath: string, diff: Digest, path: string | undefined): Pick<PoolBase, "workingSetPaths"> {
    const known = this.#workingSets.get(statePath) ?? [];
    const others = known.filter((one) => one.diff !== diff);
    const noted = path === undefined ? known : [{ diff, path }, ...others].slice(0, WORKING_SETS);
    this.#workingSets.set(statePath, noted);
    return { workingSetPaths: noted.map((one) => one.path) };
  }

  async #add({ layers, statePath, workingSetPaths }: PoolBase): Promise<void> {
    const jail = await this.#jail.options();
    try {
      this.microvms.add({ layers, statePath, workingSetPaths, jail });
    } catch (error) {
      // The program ends.
      if (errorCode(error) !== "FIRN_POOL_CLOSED") throw error;
    }
  }
}
