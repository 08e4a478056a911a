import { setImmediate } from "node:timers/promises";

/** Passes over the heap: finalizers of one pass free what the next one collects. */
const PASSES = 3;

/**
 * Leaves little garbage on the heap, and what was compiled and learnt of the code where it is: a collection of V8's last resort
 * makes a smaller heap, but each clone would then compile anew. Does nothing unless Node.js runs with --expose-gc.
 */
export async function collectGarbage(): Promise<void> {
  const collect = globalThis.gc;
  if (collect === undefined) return;
  for (let pass = 0; pass < PASSES; pass++) {
    await collect({ type: "major", execution: "sync", flavor: "regular" });
    await setImmediate();
  }
}
