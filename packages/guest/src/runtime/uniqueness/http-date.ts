import { subscribe } from "node:diagnostics_channel";
import { setTimeout } from "node:timers/promises";

/** node:http keeps the text of the Date header until the second it was made in has ended. */
const CACHED_MS = 1000;

let lastResponse = Number.NEGATIVE_INFINITY;

/** Notes when an HTTP server of this process answered: it may have cached the date then. */
export function watchHttpDate(): void {
  subscribe("http.server.response.finish", () => {
    lastResponse = performance.now();
  });
}

/** Resolves when no date is cached: at once unless an HTTP server answered within the last second. */
export async function settleHttpDate(): Promise<void> {
  const left = lastResponse + CACHED_MS + 10 - performance.now();
  if (left > 0) await setTimeout(left);
}
