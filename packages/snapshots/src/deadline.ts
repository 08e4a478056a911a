import { SnapshotError } from "./errors.ts";

/** How long something may take. */
export interface Deadline {
  /** Milliseconds from now. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits for something, but not beyond a deadline.
 *
 * @param what What is waited for, as it stands after "waiting for".
 * @param start Starts it; gets a signal that aborts at the deadline, or when the caller's signal does.
 * @throws {SnapshotError} FIRN_TIMEOUT or FIRN_ABORTED.
 */
export async function withDeadline<T>(
  what: string,
  deadline: Deadline,
  start: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const expired = new AbortController();
  const timer = setTimeout(() => {
    expired.abort(
      new SnapshotError("FIRN_TIMEOUT", `Gave up waiting for ${what} after ${deadline.timeoutMs} ms.`),
    );
  }, deadline.timeoutMs);
  const onAbort = () => expired.abort(aborted(what, deadline.signal?.reason));
  if (deadline.signal?.aborted) onAbort();
  deadline.signal?.addEventListener("abort", onAbort, { once: true });
  const over = new Promise<never>((_, reject) => {
    if (expired.signal.aborted) reject(expired.signal.reason);
    expired.signal.addEventListener("abort", () => reject(expired.signal.reason), { once: true });
  });
  try {
    return await Promise.race([over, start(expired.signal)]);
  } finally {
    clearTimeout(timer);
    deadline.signal?.removeEventListener("abort", onAbort);
    over.catch(() => {});
  }
}

function aborted(what: string, cause: unknown): SnapshotError {
  return new SnapshotError("FIRN_ABORTED", `Waiting for ${what} was aborted.`, { cause });
}
