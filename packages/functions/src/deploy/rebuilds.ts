import { type FunctionRecord, isSameVersion } from "../catalog/function-record.ts";

const FIRST_DELAY_MS = 1_000;
const LONGEST_DELAY_MS = 5 * 60_000;

/** What is known of one function's snapshot that could not be used. */
interface Rebuild {
  readonly record: FunctionRecord;
  attempts: number;
  busy: boolean;
  timer: NodeJS.Timeout | undefined;
}

/** Makes snapshots again in the background: at once when the first start misses one, then later and later until one can be used. */
export class Rebuilds {
  readonly #rebuild: (record: FunctionRecord) => Promise<unknown>;
  readonly #onFailure: (record: FunctionRecord, error: unknown) => void;
  readonly #firstDelayMs: number;
  readonly #byFunction = new Map<number, Rebuild>();
  #closed = false;

  /**
   * @param rebuild Makes a version's snapshot.
   * @param options.onFailure Called when one cannot be made; the next attempt follows on its own.
   * @param options.firstDelayMs Milliseconds before the second attempt. Doubles with each, up to 5 minutes.
   */
  constructor(
    rebuild: (record: FunctionRecord) => Promise<unknown>,
    options: { onFailure: (record: FunctionRecord, error: unknown) => void; firstDelayMs?: number },
  ) {
    this.#rebuild = rebuild;
    this.#onFailure = options.onFailure;
    this.#firstDelayMs = options.firstDelayMs ?? FIRST_DELAY_MS;
  }

  /** Sees to it that a version's snapshot is made again. Does nothing if that is under way or waits for its next attempt. */
  request(record: FunctionRecord): void {
    const known = this.#byFunction.get(record.id);
    if (known !== undefined && isSameVersion(known.record, record)) {
      if (!known.busy) this.#schedule(known);
      return;
    }
    this.forget(record.id);
    const rebuild = { record, attempts: 0, busy: false, timer: undefined };
    this.#byFunction.set(record.id, rebuild);
    this.#schedule(rebuild);
  }

  /** A snapshot of the function was used, or nobody wants one any more. */
  forget(id: number): void {
    clearTimeout(this.#byFunction.get(id)?.timer);
    this.#byFunction.delete(id);
  }

  /** Begins no further attempt. */
  close(): void {
    this.#closed = true;
    for (const id of [...this.#byFunction.keys()]) this.forget(id);
  }

  #schedule(rebuild: Rebuild): void {
    if (this.#closed) return;
    rebuild.busy = true;
    const delayMs = rebuild.attempts === 0 ? 0 : this.#firstDelayMs * 2 ** (rebuild.attempts - 1);
    rebuild.attempts += 1;
    rebuild.timer = setTimeout(() => void this.#attempt(rebuild), Math.min(delayMs, LONGEST_DELAY_MS));
    rebuild.timer.unref();
  }

  async #attempt(rebuild: Rebuild): Promise<void> {
    const { record } = rebuild;
    try {
      await this.#rebuild(record);
      rebuild.busy = false;
    } catch (error) {
      if (this.#closed || this.#byFunction.get(record.id) !== rebuild) return;
      this.#onFailure(record, error);
      this.#schedule(rebuild);
    }
  }
}
