// Deadlines in milliseconds. They are there so that nothing waits for ever, far above what anything takes on hardware, and enough
// for an emulated host, which is some ten times slower.

/** A boot or restore until the vCPUs run. */
export const START_TIMEOUT_MS = 60_000;
/** What a pool has done to a process before it waits. */
export const PREPARE_TIMEOUT_MS = 60_000;
/** A ring of the doorbell, unless the caller says otherwise: a runtime that imports much takes its time. */
export const DOORBELL_TIMEOUT_MS = 120_000;
/** A snapshot of the largest guest to a slow disk. */
export const SNAPSHOT_TIMEOUT_MS = 300_000;
/** Reading all guest memory. */
export const CHECKSUM_TIMEOUT_MS = 300_000;
/** What needs no disk. */
export const COMMAND_TIMEOUT_MS = 30_000;
/** A process that was killed, until it is gone. */
export const CLOSE_TIMEOUT_MS = 10_000;
