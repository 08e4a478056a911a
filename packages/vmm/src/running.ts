/** Longest interval of a timer, 24.8 days. */
const LONGEST_INTERVAL_MS = 2 ** 31 - 1;

/** What runs, by what it is; an object in it is not collected, so that its connections keep their other ends. */
const running = new Set<object>();
let keepAlive: NodeJS.Timeout | undefined;

/**
 * Keeps `what` in memory and Node running until `ended` resolves, as a child process does. A guest that ends closes its connections
 * before its process is gone: without this, Node could exit between the two, and whoever waits for the exit would never hear.
 */
export function keepRunning(what: object, ended: Promise<unknown>): void {
  running.add(what);
  keepAlive ??= setInterval(() => {}, LONGEST_INTERVAL_MS);
  void ended.then(() => {
    running.delete(what);
    if (running.size > 0) return;
    clearInterval(keepAlive);
    keepAlive = undefined;
  });
}
