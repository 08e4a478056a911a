import { readdir } from "node:fs/promises";
import { join, posix } from "node:path";
import { invalidApp } from "./app-errors.ts";
import type { AppTree } from "./app-tree.ts";

/** How a runtime's modules are named: data of its manifest. */
export interface EntryPoints {
  /**
   * The module of a function that names none, without its extension; also looked for in a folder that is named. `null` if the runtime
   * finds its modules itself.
   */
  readonly default: string | null;
  /** Extensions that may be left out, the first one first. */
  readonly extensions: readonly string[];
  /** A JSON file at the app's root: its `main` names the module, its `firn` has settings for Firn. */
  readonly packageFile: string | null;
}

/**
 * Finds the module that a function's runtime is to load.
 *
 * @param wanted As it was asked for: a file, a file without its extension, or a folder; the default if `undefined`.
 * @returns Its path in the app; what was asked for, or "", if the runtime finds it itself.
 * @throws {FunctionsError} FIRN_APP_INVALID.
 */
export async function findEntry(
  tree: AppTree,
  wanted: string | undefined,
  entryPoints: EntryPoints,
): Promise<string> {
  const name = entryPoints.default;
  if (name === null) return wanted ?? "";
  const base = wanted ?? name;
  if (base.startsWith("/") || base.split("/").includes("..")) {
    throw invalidApp(`Entry "${base}" must be a path inside the app, such as index.js.`);
  }
  const extensions = ["", ...entryPoints.extensions];
  for (const stem of [base, posix.join(base, name)]) {
    for (const extension of extensions) {
      const candidate = posix.normalize(stem + extension);
      if ((await tree.resolve(candidate)).kind === "file") return candidate;
    }
  }
  const hint = "Name the module to import as entry.";
  throw invalidApp(`Entry "${base}" is not in the app, ${await whatIsThere(tree, hint)}`);
}

/** What an app holds, for an error about what it does not. */
export async function whatIsThere({ root }: AppTree, hint: string): Promise<string> {
  const found = await readdir(root, { withFileTypes: true });
  const [only, another] = found;
  if (only?.isDirectory() && another === undefined) {
    const inside = (await readdir(join(root, only.name))).slice(0, 10).join(", ");
    return `which holds only the folder ${only.name} (with ${inside}). Pack what is in that folder, not the folder itself.`;
  }
  const names = found.map(({ name }) => name).sort();
  const shown = names.slice(0, 10).join(", ") || "nothing";
  return `which holds ${shown} at its root. ${hint}`;
}
