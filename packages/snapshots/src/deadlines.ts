/** How long each step of a microVM's life may take, in milliseconds. */
export interface Deadlines {
  /** From the start of a boot until the runtime is ready. */
  readonly bootMs: number;
  /** From loading a function until it is ready. */
  readonly readyMs: number;
  /** From asking for a snapshot until the doorbell. */
  readonly snapshotMs: number;
  /** From a restore until the guest has reseeded and thawed the function. */
  readonly resumeMs: number;
  /** What an invocation may take beyond the function's timeout before its microVM is killed. */
  readonly graceMs: number;
}

/** For hardware and for an emulated host, which is about ten times slower. */
export const DEFAULT_DEADLINES: Deadlines = {
  bootMs: 60_000,
  readyMs: 60_000,
  snapshotMs: 60_000,
  resumeMs: 20_000,
  graceMs: 1_000,
};
