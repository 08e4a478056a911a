import { stat } from "node:fs/promises";
import { join } from "node:path";
import { invalidApp } from "./app-errors.ts";
import type { AppTree } from "./app-tree.ts";
import { whatIsThere } from "./find-entry.ts";

const ANY_EXECUTE = 0o111;

/**
 * Checks that an app has a program which its runtime starts.
 *
 * @param path Of the program in the app.
 * @throws {FunctionsError} FIRN_APP_INVALID if there is no such file, or if it is not executable.
 */
export async function requireProgram(tree: AppTree, path: string): Promise<void> {
  const found = await tree.resolve(path);
  if (found.kind !== "file") {
    const hint = `Add a program named ${path}: the runtime starts it.`;
    throw invalidApp(`There is no file ${path} in the app, ${await whatIsThere(tree, hint)}`);
  }
  const { mode } = await stat(join(tree.root, found.path));
  if ((mode & ANY_EXECUTE) === 0) {
    throw invalidApp(`${path} is not executable. Run chmod +x ${path}, and pack the app again.`);
  }
}
