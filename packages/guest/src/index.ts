import { currentLifecycle, type Hook } from "./lifecycle.ts";

export type { HandlerCallback, HandlerContext } from "./context.ts";
export type { Hook } from "./lifecycle.ts";

/**
 * Says that the function is warm: the moment at which it is snapshotted. Needed only after {@link deferReady}; without that, a
 * function is ready when its module has been imported. Outside of Firn it does nothing, as do all functions of this package.
 *
 * @example
 * ```ts
 * import { deferReady, ready } from "@firn/guest";
 *
 * deferReady();
 * loadModel().then(ready);
 * ```
 */
export function ready(): void {
  currentLifecycle()?.ready();
}

/**
 * Postpones the snapshot until {@link ready} is called. Call it while the module is being imported. A function that does not get
 * ready within the deploy's time limit fails with FIRN_FUNCTION_NOT_READY.
 */
export function deferReady(): void {
  currentLifecycle()?.deferReady();
}

/**
 * Registers work to be done once at deploy, after the module was imported and before the snapshot: what it compiles, fills and
 * caches is there in every clone. Hooks run in the order in which they were registered; each is awaited. One that throws fails the
 * deploy with FIRN_FUNCTION_HOOK.
 *
 * @example
 * ```ts
 * import { warmUp } from "@firn/guest";
 *
 * warmUp(() => render(sampleImage));
 * ```
 */
export function warmUp(hook: Hook): void {
  currentLifecycle()?.warmUp(hook);
}

/**
 * Registers what to do before each snapshot, such as closing connections. Hooks run last in, first out; each is awaited, all
 * together at most a minute. One that throws fails the snapshot with FIRN_FUNCTION_HOOK.
 */
export function beforeSnapshot(hook: Hook): void {
  currentLifecycle()?.beforeSnapshot(hook);
}

/**
 * Registers what to do in each clone before its first request, such as opening connections or drawing a secret. Random sources of
 * Node.js are reseeded and the clock is right by then. Hooks run first in, first out; each is awaited, all together at most a
 * minute. One that throws makes the clone's invocations fail.
 */
export function afterRestore(hook: Hook): void {
  currentLifecycle()?.afterRestore(hook);
}
