import type { FirnVmmError } from "./errors.ts";

/** What a pool holds, and what has happened in it since it was made. */
export interface PoolStatistics {
  /** Restores in a process that waited. */
  hits: number;
  /** Restores that found none, or one that ended, and started one. */
  misses: number;
  /** Processes that were prepared. */
  prepared: number;
  /** Processes that could not be. */
  failures: number;
  /** Processes that ended while they waited, or before they had restored. */
  died: number;
  /** Processes that were ended to keep to the budget: for a base that is wanted more, or because they need more than was thought. */
  evicted: number;
  /** Processes that wait now. */
  waiting: number;
  /** Processes that should. */
  wanted: number;
  /** Private memory of those that wait, in bytes, each measured when it was ready. */
  privateBytes: number;
  /** Why fewer wait than should: failures are being waited out, the host lacks memory, or the budget is used up. */
  heldBack: "failures" | "pressure" | "budget" | null;
  /** What told last whether the host lacks memory: how much time is lost to that, or, where the kernel does not count it, what is available. */
  memoryMeasure: "pressure" | "available" | null;
  /** Why a process could not be prepared, the last time that one could not. */
  lastFailure: FirnVmmError | null;
  /** Each base. */
  bases: {
    /** Digests of its layers. */
    layers: string[];
    waiting: number;
    privateBytes: number;
    /** Failures since a process of it was last of use. */
    failures: number;
  }[];
}
