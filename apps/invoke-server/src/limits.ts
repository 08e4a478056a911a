/** What a function has if its deploy does not say. */
export const DEPLOY_DEFAULTS = {
  handler: "default",
  memoryMib: 256,
  timeoutMs: 3_000,
  readyTimeoutMs: 60_000,
} as const;

/** Longest timeout of an invocation: 15 minutes. */
export const MAX_TIMEOUT_MS = 900_000;

/** Largest environment of a function. */
export const MAX_ENVIRONMENT_BYTES = 4096;
