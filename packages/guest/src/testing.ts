import { LIFECYCLE } from "./lifecycle.ts";
import { Hooks } from "./runtime/hooks.ts";

/** What stands for Firn in a test: it takes the hooks of a function, and runs them as a deploy and a clone would. */
export interface SimulatedGuest extends Disposable {
  /**
   * Waits until the function says that it is ready, if it has called `deferReady()`, and runs its warm-up hooks, once each.
   *
   * @throws {Error} FIRN_FUNCTION_HOOK if a hook fails.
   */
  becomeReady(): Promise<void>;
  /**
   * Runs the before-snapshot hooks, last in first out, and then the after-restore hooks, first in first out: what a clone has behind it when it
   * gets its first request. No memory is copied, and nothing is reseeded.
   *
   * @throws {Error} FIRN_FUNCTION_HOOK if a hook fails.
   */
  snapshotAndRestore(): Promise<void>;
}

/**
 * Stands for Firn from here on, until it is disposed of. Import the function afterwards: its calls of `warmUp()`, `beforeSnapshot()` and the
 * others are heard then, and do nothing otherwise.
 *
 * @throws {Error} if another one does already.
 * @example
 * ```ts
 * import { simulateGuest } from "@firn/guest/testing";
 *
 * using guest = simulateGuest();
 * const { default: app } = await import("./index.js");
 * await guest.becomeReady();
 * await guest.snapshotAndRestore();
 * const response = await app.fetch(new Request("http://function/"));
 * ```
 */
export function simulateGuest(): SimulatedGuest {
  if (LIFECYCLE in globalThis) throw new Error("A guest is simulated already: dispose of it first.");
  const hooks = new Hooks();
  Object.defineProperty(globalThis, LIFECYCLE, { value: hooks, configurable: true });
  return {
    becomeReady: () => hooks.becomeReady(),
    async snapshotAndRestore() {
      await hooks.runBeforeSnapshot();
      await hooks.runAfterRestore();
    },
    [Symbol.dispose]() {
      Reflect.deleteProperty(globalThis, LIFECYCLE);
    },
  };
}
