import type { Hook, Lifecycle } from "../lifecycle.ts";
import { messageOf } from "./errors/thrown.ts";
import { FunctionError } from "./function-error.ts";

/** Time for all hooks of one snapshot or resume together, in milliseconds. */
export const HOOKS_LIMIT_MS = 60_000;

/** The hooks that the function registers through the SDK, and whether it is ready. */
export class Hooks implements Lifecycle {
  readonly #warmUp: Hook[] = [];
  readonly #beforeSnapshot: Hook[] = [];
  readonly #afterRestore: Hook[] = [];
  readonly #ready = Promise.withResolvers<void>();
  #deferred = false;

  ready(): void {
    this.#ready.resolve();
  }

  deferReady(): void {
    this.#deferred = true;
  }

  warmUp(hook: Hook): void {
    this.#warmUp.push(hook);
  }

  beforeSnapshot(hook: Hook): void {
    this.#beforeSnapshot.push(hook);
  }

  afterRestore(hook: Hook): void {
    this.#afterRestore.push(hook);
  }

  /** Resolves when the function, whose module has been imported, says that it is ready, and its warm-up is done. */
  async becomeReady(): Promise<void> {
    if (this.#deferred) await this.#ready.promise;
    // Once each, even if a hook registers another one.
    for (let hook = this.#warmUp.shift(); hook !== undefined; hook = this.#warmUp.shift()) {
      await runHook("warmUp", hook);
    }
  }

  /** Runs before-snapshot hooks, last in first out. */
  runBeforeSnapshot(): Promise<void> {
    return runAll("beforeSnapshot", this.#beforeSnapshot.toReversed());
  }

  /** Runs after-restore hooks, first in first out. */
  runAfterRestore(): Promise<void> {
    return runAll("afterRestore", this.#afterRestore.slice());
  }
}

async function runAll(kind: string, hooks: readonly Hook[]): Promise<void> {
  if (hooks.length === 0) return;
  const overdue = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    overdue.reject(
      new FunctionError(
        "FIRN_FUNCTION_HOOK",
        `The ${kind} hooks did not end within ${HOOKS_LIMIT_MS / 1000} seconds.`,
      ),
    );
  }, HOOKS_LIMIT_MS);
  try {
    for (const hook of hooks) await Promise.race([runHook(kind, hook), overdue.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function runHook(kind: string, hook: Hook): Promise<void> {
  try {
    await hook();
  } catch (cause) {
    throw new FunctionError("FIRN_FUNCTION_HOOK", `A ${kind} hook failed: ${messageOf(cause)}`, { cause });
  }
}
