import { fork } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CliError } from "./errors.ts";
import { usage } from "./options.ts";

/** Something in a function that clones of its snapshot would share although they should not. */
export interface LintWarning {
  /** For example FIRN_RANDOM_BEFORE_SNAPSHOT. */
  readonly code: string;
  /** What, where, and what to do. */
  readonly message: string;
}

type Report =
  | { readonly warnings: readonly LintWarning[] }
  | { readonly failure: { readonly message: string; readonly stack: readonly string[] } };

/** The function is imported and warmed up on this machine; it may take this long. */
const LIMIT_MS = 60_000;
const ENTRIES = ["index.js", "index.mjs", "index.cjs", "index.ts", "index.mts"];

/**
 * Brings a Node.js function to its warm point on this machine, in a process of its own, and looks at what a snapshot of it would keep.
 *
 * @param folder The function's folder.
 * @param entry Its module; that of package.json, or `index`, if not given.
 * @throws {CliError} if there is no such module, or the function does not get ready.
 */
export async function lint(folder: string, entry: string | undefined): Promise<readonly LintWarning[]> {
  const program = fileURLToPath(import.meta.resolve("@firn/guest/lint"));
  // Its own output is no result of the lint.
  const stdio = ["ignore", "inherit", "inherit", "ipc"] as const;
  const child = fork(program, [folder, findEntry(folder, entry)], { stdio: [...stdio], timeout: LIMIT_MS });
  const report = await new Promise<Report>((resolve, reject) => {
    child.once("message", (message) => resolve(message as Report));
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      const how =
        signal === "SIGTERM" ? `did not get ready in ${LIMIT_MS / 1000} s` : `ended with ${signal ?? code}`;
      reject(new CliError(`The function ${how} before it was ready.`));
    });
  });
  if ("failure" in report) {
    const { message, stack } = report.failure;
    throw new CliError(`The function failed at import: ${message}`, { details: stack.join("\n") });
  }
  return report.warnings;
}

function findEntry(folder: string, entry: string | undefined): string {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw usage(`${folder} is no folder.`);
  const wanted = entry ?? mainOf(folder);
  const candidates =
    wanted === undefined ? ENTRIES : [wanted, ...ENTRIES.map((index) => join(wanted, index))];
  const found = candidates.find((candidate) =>
    statSync(join(folder, candidate), { throwIfNoEntry: false })?.isFile(),
  );
  if (found === undefined) {
    throw usage(`${folder} has no module ${wanted ?? ENTRIES.join(", ")}. Name it with --entry.`);
  }
  return found;
}

function mainOf(folder: string): string | undefined {
  const path = join(folder, "package.json");
  if (!existsSync(path)) return undefined;
  try {
    const { main } = JSON.parse(readFileSync(path, "utf8")) as { main?: unknown };
    return typeof main === "string" ? main : undefined;
  } catch (cause) {
    throw usage(`${path} is no JSON: ${(cause as Error).message}`);
  }
}
