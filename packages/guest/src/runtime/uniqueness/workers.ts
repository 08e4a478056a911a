import { randomBytes } from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import { fileURLToPath } from "node:url";
import workerThreads, {
  getEnvironmentData,
  setEnvironmentData,
  type WorkerOptions,
} from "node:worker_threads";
import { replaceMathRandom, SEED_BYTES } from "./math-random.ts";
import { bypassRandomCaches } from "./random-caches.ts";
import { keepTimeOrigin } from "./time-origin.ts";

/** Under which worker threads find the {@link Era}. */
const ENVIRONMENT_KEY = "firn.era";

/**
 * Counts snapshots and resumes in memory that all threads share: even while they run, odd from the last preparations for a
 * snapshot until the main thread has reseeded.
 */
type Era = Int32Array<SharedArrayBuffer>;

/** Keeps the worker threads of the function apart, in all clones. */
export class Workers {
  readonly #era: Era = new Int32Array(new SharedArrayBuffer(4));

  /**
   * Makes every worker thread run {@link makeWorkerUnique} before anything else.
   *
   * @param preload URL of a module that calls it when it is imported in a worker.
   */
  constructor(preload: string) {
    const path = fileURLToPath(preload);
    setEnvironmentData(ENVIRONMENT_KEY, this.#era);
    const { Worker: Original } = workerThreads;
    const mutable = workerThreads as { Worker: typeof Original };
    mutable.Worker = class Worker extends Original {
      constructor(file: string | URL, options: WorkerOptions = {}) {
        // Not --import: a worker whose source is text does not heed it.
        super(file, { ...options, execArgv: [...(options.execArgv ?? []), "--require", path] });
      }
    };
    syncBuiltinESMExports();
  }

  /** From here on worker threads that want a random number wait. */
  beforeSnapshot(): void {
    Atomics.add(this.#era, 0, 1);
  }

  /** The main thread has reseeded OpenSSL: worker threads go on, with seeds of their own. */
  afterRestore(): void {
    Atomics.add(this.#era, 0, 1);
    Atomics.notify(this.#era, 0);
  }
}

/**
 * Makes this worker thread draw other random numbers in every clone: Math.random gets a new seed at its first use after a resume, and
 * waits for it if the thread is thawed before the main thread has reseeded.
 */
export function makeWorkerUnique(): void {
  const era = getEnvironmentData(ENVIRONMENT_KEY) as unknown as Era | undefined;
  bypassRandomCaches();
  keepTimeOrigin();
  let seeded = era === undefined ? 0 : Atomics.load(era, 0);
  const reseed = replaceMathRandom(() => {
    if (era === undefined) return;
    for (let now = Atomics.load(era, 0); now !== seeded; now = Atomics.load(era, 0)) {
      if (now % 2 !== 0) {
        Atomics.wait(era, 0, now);
        continue;
      }
      reseed(randomBytes(SEED_BYTES));
      seeded = now;
    }
  });
}
