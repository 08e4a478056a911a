import { setImmediate } from "node:timers/promises";

/** Passes over the heap: finalizers of one pass free what the next one collects. */
const PASSES = 3;

/** Leaves as little garbage as possible on the heap. Does nothing unless Node.js runs with --expose-gc. */
export async function collectGarbage(): Promise<void> {
  const collect = globalThis.gc;
  if (collect === undefined) return;
  for (let pass = 0; pass < PASSES; pass++) {
    await collect({ type: "major", execution: "sync", flavor: "last-resort" });
    await setImmediate();
  }
}
