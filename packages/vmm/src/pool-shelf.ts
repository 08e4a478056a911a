import { closeProcess } from "./close-process.ts";
import { FirnVmmError } from "./errors.ts";
import { type PoolBase, type PreparedProcess, prepareProcess } from "./prepared-process.ts";

/** After the first failure in a row a base rests for this long, and twice as long after each further one. */
const FIRST_REST_MS = 500;
const LONGEST_REST_MS = 60_000;

/** The processes of a pool that wait for a restore on top of one base. */
export class PoolShelf {
  /** What the next process is prepared for. */
  base: PoolBase;
  /** When a restore last wanted one of its processes, by `performance.now()`. */
  lastWanted: number = performance.now();
  /** Failures since a process of it was last of use. */
  failures = 0;
  /** No process is prepared for it before this moment, by `performance.now()`. */
  restUntil = 0;
  /** Private memory of the process prepared last, in bytes. */
  lastPrivateBytes: number | undefined;
  readonly #waiting: PreparedProcess[] = [];
  readonly #drained = new AbortController();
  readonly #ending = new Set<Promise<unknown>>();
  readonly #onDeath: () => void;

  /** @param onDeath A process has ended while it waited. */
  constructor(base: PoolBase, onDeath: () => void) {
    this.base = base;
    this.#onDeath = onDeath;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get privateBytes(): number {
    return this.#waiting.reduce((sum, { privateBytes }) => sum + privateBytes, 0);
  }

  /** Whether it is not part of its pool any more. */
  get drained(): boolean {
    return this.#drained.signal.aborted;
  }

  /**
   * Prepares one more process.
   *
   * @throws {FirnVmmError} FIRN_ABORTED when it is drained meanwhile, or why it cannot.
   */
  add(): Promise<void> {
    return this.#track(this.#add());
  }

  async #add(): Promise<void> {
    const prepared = await prepareProcess(this.base, this.#drained.signal);
    if (this.drained) {
      await closeProcess(prepared.vmm);
      throw new FirnVmmError("FIRN_ABORTED", "Preparing a process was aborted.");
    }
    this.lastPrivateBytes = prepared.privateBytes;
    this.#waiting.push(prepared);
    void prepared.events.exited.then(() => {
      if (this.#forget(prepared)) this.#onDeath();
    });
  }

  /** Takes the process that has waited longest and still runs. */
  take(): PreparedProcess | undefined {
    this.lastWanted = performance.now();
    for (const prepared of [...this.#waiting]) {
      // Its exit may not have been heard yet; then it is told as the death that it is, and not handed out.
      if (!prepared.vmm.isRunning()) continue;
      this.#forget(prepared);
      return prepared;
    }
    return undefined;
  }

  /** Ends the process that has waited longest. */
  async discardOne(): Promise<void> {
    const prepared = this.#waiting.shift();
    if (prepared !== undefined) await this.#track(closeProcess(prepared.vmm));
  }

  /** Notes that a process could not be prepared, or was lost. */
  rest(): void {
    const restMs = Math.min(FIRST_REST_MS * 2 ** Math.min(this.failures, 20), LONGEST_REST_MS);
    this.failures += 1;
    this.restUntil = performance.now() + restMs;
  }

  /** Ends all its processes, the one that is being prepared too; resolves when they are gone. */
  async drain(): Promise<void> {
    this.#drained.abort();
    for (const { vmm } of this.#waiting.splice(0)) void this.#track(closeProcess(vmm)).catch(() => {});
    await Promise.allSettled(this.#ending);
  }

  #forget(prepared: PreparedProcess): boolean {
    const index = this.#waiting.indexOf(prepared);
    if (index >= 0) this.#waiting.splice(index, 1);
    return index >= 0;
  }

  #track<T>(work: Promise<T>): Promise<T> {
    const settled = work.then(
      () => {},
      () => {},
    );
    this.#ending.add(settled);
    void settled.then(() => this.#ending.delete(settled));
    return work;
  }
}
