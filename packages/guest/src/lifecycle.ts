/** A hook of a function; what it returns is awaited. */
export type Hook = () => unknown;

/** What the runtime offers to the SDK. */
export interface Lifecycle {
  ready(): void;
  deferReady(): void;
  warmUp(hook: Hook): void;
  beforeSnapshot(hook: Hook): void;
  afterRestore(hook: Hook): void;
}

/**
 * Where the runtime leaves its {@link Lifecycle}: a function may carry its own copy of the SDK, bundled into its code, and that
 * copy must find the runtime too.
 */
export const LIFECYCLE: unique symbol = Symbol.for("firn.guest.lifecycle.v1");

/** The lifecycle of the runtime that this code runs in, or `undefined` outside of Firn, for example in the function's tests. */
export function currentLifecycle(): Lifecycle | undefined {
  return (globalThis as { [LIFECYCLE]?: Lifecycle })[LIFECYCLE];
}
