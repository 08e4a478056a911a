import { dirname, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { LoadFunction } from "@firn/protocol";
import { messageOf } from "./errors/thrown.ts";
import { FunctionError } from "./function-error.ts";
import { findHandler, type Handler } from "./handler.ts";
import { noteEarlyReads } from "./lambda/early-reads.ts";
import { handlerName, setLambdaEnvironment } from "./lambda/environment.ts";
import { heedNodeVariables } from "./node-options/apply.ts";

const RUNTIME_FOLDER = dirname(fileURLToPath(import.meta.url));

/**
 * Imports a function.
 *
 * @param root Folder of the function's files; becomes the working directory.
 * @throws {FunctionError} FIRN_FUNCTION_IMPORT if the module cannot be imported, or exports no handler.
 */
export async function loadHandler(load: LoadFunction, root: string): Promise<Handler> {
  const path = resolve(root, load.entry);
  if (!path.startsWith(resolve(root) + sep)) {
    throw new FunctionError(
      "FIRN_FUNCTION_IMPORT",
      `The entry "${load.entry}" is not below the function's folder.`,
    );
  }
  process.chdir(root);
  setLambdaEnvironment(load, root, RUNTIME_FOLDER);
  await failAsImport("", () => heedNodeVariables(load.environment, root));
  const exports = await failAsImport(`${load.entry} cannot be imported: `, () =>
    noteEarlyReads((): Promise<Record<string, unknown>> => import(pathToFileURL(path).href)),
  );
  const handler = findHandler(exports, load.handler, load.entry);
  process.env._HANDLER = handlerName(load, handler.name);
  return handler;
}

async function failAsImport<Result>(prefix: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    throw new FunctionError("FIRN_FUNCTION_IMPORT", `${prefix}${messageOf(cause)}${hintFor(cause)}`, {
      cause,
    });
  }
}

/** What to do about a module that was written for another runtime than Node.js. */
function hintFor(cause: unknown): string {
  const missing = /^(Deno|Bun) is not defined$/.exec(messageOf(cause))?.[1];
  if (missing === undefined) return "";
  return `. Functions run on Node.js: in place of ${missing}.serve(handler), export default { fetch: handler }.`;
}
