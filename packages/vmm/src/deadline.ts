import { FirnVmmError } from "./errors.ts";

/** Limits of a wait. */
export interface WaitLimits {
  /** Ends the wait with FIRN_ABORTED. */
  signal?: AbortSignal | undefined;
  /** Ends the wait with FIRN_TIMEOUT after so many milliseconds. */
  timeoutMs: number;
}

/**
 * Waits for what `start` returns, at most as long as `limits` allow. When they end the wait, `giveUp` is called with the error, once;
 * it has to see to it that the promise rejects with it. The timer keeps Node running, so that a wait never ends silently.
 *
 * @throws {FirnVmmError} FIRN_ABORTED at once, without calling `start`, if the signal has already fired.
 */
export async function withDeadline<T>(
  what: string,
  { signal, timeoutMs }: WaitLimits,
  start: () => Promise<T>,
  giveUp: (error: FirnVmmError) => void,
): Promise<T> {
  throwIfAborted(what, signal);
  const timer = setTimeout(() => giveUp(timedOut(what, timeoutMs)), timeoutMs);
  const onAbort = () => signal && giveUp(aborted(what, signal));
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    return await start();
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** @throws {FirnVmmError} FIRN_ABORTED if the signal has fired. */
export function throwIfAborted(what: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(what, signal);
}

function timedOut(what: string, timeoutMs: number): FirnVmmError {
  return new FirnVmmError("FIRN_TIMEOUT", `${what} took longer than ${timeoutMs} ms.`);
}

function aborted(what: string, signal: AbortSignal): FirnVmmError {
  return new FirnVmmError("FIRN_ABORTED", `${what} was aborted.`, { cause: signal.reason });
}
