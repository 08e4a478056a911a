/** How long each step of a microVM's life may take, in milliseconds. */
export interface Deadlines {
  /** From the start of a boot until the runtime is ready. */
  readonly bootMs: number;
  /** From loading a function until it is ready. */
  readonly readyMs: number;
  /** From a function's first rehearsal until no further round of its samples is begun. */
  readonly rehearsalMs: number;
  /** From asking for a snapshot until the doorbell. */
  readonly snapshotMs: number;
  /** From a restore until the guest has reseeded and thawed the function. */
  readonly resumeMs: number;
  /** What an invocation may take beyond the function's timeout before its microVM is killed. */
  readonly graceMs: number;
}

/** For hardware; an emulated host that others keep busy wants a multiple. */
export const DEFAULT_DEADLINES: Deadlines = {
  bootMs: 60_000,
  readyMs: 60_000,
  rehearsalMs: 10_000,
  snapshotMs: 60_000,
  resumeMs: 20_000,
  graceMs: 1_000,
};

/** Deadlines for a host that is slower than hardware. The grace of invocations grows with them. */
export function scaleDeadlines(deadlines: Deadlines, factor: number): Deadlines {
  const scaled = Object.entries(deadlines).map(([step, milliseconds]) => [step, milliseconds * factor]);
  return Object.fromEntries(scaled) as { [Step in keyof Deadlines]: number };
}
