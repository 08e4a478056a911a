import { setImmediate } from "node:timers/promises";

/** Passes over the heap: finalizers of one pass free what the next one collects. */
const PASSES = 3;

const collect = globalThis.gc;

/** Takes the collector that --expose-gc brings out of the function's sight: libraries change what they do when they find it. */
export function hideCollector(): void {
  // V8 does not let it be deleted.
  if (collect !== undefined) Object.assign(globalThis, { gc: undefined });
}

/**
 * Leaves little garbage on the heap, and what was compiled and learnt of the code where it is: a collection of V8's last resort
 * makes a smaller heap, but each clone would then compile anew. Does nothing unless Node.js runs with --expose-gc.
 */
export async function collectGarbage(): Promise<void> {
  if (collect === undefined) return;
  for (let pass = 0; pass < PASSES; pass++) {
    await collect({ type: "major", execution: "sync", flavor: "regular" });
    await setImmediate();
  }
}
