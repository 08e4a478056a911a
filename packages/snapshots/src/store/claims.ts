import type { Digest } from "./digest.ts";

/** What is being added: blobs that nothing refers to yet, and must not be taken for garbage. */
export class Claims {
  readonly #scopes = new Set<Set<Digest>>();

  /** Runs a task; what is claimed while it runs stays claimed until it ends. */
  async during<T>(task: () => Promise<T>): Promise<T> {
    const scope = new Set<Digest>();
    this.#scopes.add(scope);
    try {
      return await task();
    } finally {
      this.#scopes.delete(scope);
    }
  }

  /** Claims a blob or snapshot for all tasks that run. */
  add(digest: Digest): void {
    for (const scope of this.#scopes) scope.add(digest);
  }

  *[Symbol.iterator](): Iterator<Digest> {
    for (const scope of this.#scopes) yield* scope;
  }
}
