import { randomFillSync } from "node:crypto";
import { callerOutside } from "./caller.ts";
import { aroundDraws } from "./random-functions.ts";

/**
 * Buffers of this size in bytes are taken for pools, of which a library hands out pieces for a long time. Keys are shorter; what is longer
 * is data, which would make each clone slow.
 */
const POOL_BYTES = { least: 128, most: 65_536 };

/** How many draws of one source have their callers looked for: that takes a while, and there may be millions. */
const LOOKED_AT = 200;
/** From how many pools on those that are no longer in use are left out. */
const FEW_POOLS = 1000;

/** What was drawn, and by whom; pools apart. */
export interface Draw {
  /** For example "getRandomValues". */
  readonly source: string;
  /** File and line in the function. */
  readonly caller: string;
}

/** A draw, and when it was made. */
interface Noted {
  readonly draw: Draw;
  /** By the request that was rehearsed: in which of its rehearsals it was made last. Absent if it was made outside of one, too. */
  rehearsals: Map<string, number> | undefined;
}

/** Watches who draws random numbers before a snapshot: whatever of them is kept is the same in all clones. */
export class Draws {
  readonly #currentRehearsal: () => string | undefined;
  readonly #draws = new Map<string, Noted>();
  /** How many times requests were rehearsed. */
  readonly #rehearsals = new Map<string, number>();
  readonly #looks = new Map<string, number>();
  #pools: WeakRef<ArrayBufferView<ArrayBuffer>>[] = [];
  #poolsLimit = FEW_POOLS;
  /** Whether draws are noted. */
  watching = false;
  /** Whether a function that draws is at work, which may draw by another one. */
  #inside = false;

  /** @param currentRehearsal Tells the request that is rehearsed, if it is its code that runs. */
  constructor(currentRehearsal: () => string | undefined) {
    this.#currentRehearsal = currentRehearsal;
  }

  /** Puts the watch around every function that draws, once and for all. */
  install(): void {
    aroundDraws((source, args, draw) => {
      if (!this.watching || this.#inside) return draw();
      this.#inside = true;
      try {
        const result = draw();
        this.note(source, args, result);
        return result;
      } finally {
        this.#inside = false;
      }
    });
  }

  /** From here on draws are noted. */
  start(): void {
    this.watching = true;
  }

  /** From here on they are not, and what was noted is forgotten. */
  stop(): void {
    this.watching = false;
    this.#draws.clear();
    this.#rehearsals.clear();
    this.#looks.clear();
    this.#pools = [];
    this.#poolsLimit = FEW_POOLS;
  }

  /** A request is about to be rehearsed, perhaps once more. */
  beginRehearsal(requestId: string): void {
    this.#rehearsals.set(requestId, (this.#rehearsals.get(requestId) ?? 0) + 1);
    this.#looks.clear();
  }

  /** What was drawn so far, pools apart, and apart from what each request draws anew, as its rehearsals have shown. */
  list(): Draw[] {
    return [...this.#draws.values()].filter((noted) => !this.#isDrawnAnew(noted)).map(({ draw }) => draw);
  }

  /** What was drawn at first and not in the last rehearsal is kept. One rehearsal alone shows nothing. */
  #isDrawnAnew({ rehearsals }: Noted): boolean {
    const last = [...(rehearsals ?? [])];
    return last.some(([requestId, number]) => number > 1 && number === this.#rehearsals.get(requestId));
  }

  /** Pools that were filled so far and are still in use. */
  pools(): ArrayBufferView<ArrayBuffer>[] {
    return this.#pools.map((pool) => pool.deref()).filter((pool) => pool !== undefined);
  }

  /** Notes a draw of the function named `source`, and who called it. */
  note(source: string, args: readonly unknown[] = [], result?: unknown): void {
    const filled = filledBy(source, args, result);
    if (filled !== undefined && isPool(filled)) {
      this.#addPool(filled);
      return;
    }
    const looks = this.#looks.get(source) ?? 0;
    if (looks >= LOOKED_AT) return;
    this.#looks.set(source, looks + 1);
    const caller = callerOutside();
    if (caller !== undefined) this.#add({ source, caller });
  }

  #add(draw: Draw): void {
    const key = `${draw.source} ${draw.caller}`;
    const noted = this.#draws.get(key) ?? { draw, rehearsals: new Map() };
    const requestId = this.#currentRehearsal();
    if (requestId === undefined) noted.rehearsals = undefined;
    else noted.rehearsals?.set(requestId, this.#rehearsals.get(requestId) ?? 0);
    this.#draws.set(key, noted);
  }

  #addPool(pool: ArrayBufferView<ArrayBuffer>): void {
    this.#pools.push(new WeakRef(pool));
    if (this.#pools.length < this.#poolsLimit) return;
    this.#pools = this.#pools.filter((each) => each.deref() !== undefined);
    this.#poolsLimit = FEW_POOLS + 2 * this.#pools.length;
  }
}

function isPool({ byteLength }: ArrayBufferView): boolean {
  return byteLength >= POOL_BYTES.least && byteLength <= POOL_BYTES.most;
}

/** Fills buffers with other random bytes, apart from those whose memory was given away. */
export function refill(pools: readonly ArrayBufferView<ArrayBuffer>[]): void {
  const owned = pools.filter(({ buffer }) => !buffer.detached);
  for (const pool of owned) randomFillSync(new Uint8Array(pool.buffer, pool.byteOffset, pool.byteLength));
}

/** The buffer that a draw filled as a whole. */
function filledBy(
  source: string,
  args: readonly unknown[],
  result: unknown,
): ArrayBufferView<ArrayBuffer> | undefined {
  const isPart = source.startsWith("randomFill") && typeof args[1] === "number";
  for (const candidate of [result, ...(isPart ? [] : args)]) {
    if (ArrayBuffer.isView(candidate) && candidate.buffer instanceof ArrayBuffer) {
      return candidate as ArrayBufferView<ArrayBuffer>;
    }
  }
  return undefined;
}
