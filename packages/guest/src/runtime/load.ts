import { resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";
import type { LoadFunction } from "@firn/protocol";
import { messageOf } from "./errors/thrown.ts";
import { FunctionError } from "./function-error.ts";
import { findHandler, type Handler } from "./handler.ts";

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
  Object.assign(process.env, lambdaEnvironment(load, root), load.environment);
  let exports: Record<string, unknown>;
  try {
    exports = await import(pathToFileURL(path).href);
  } catch (cause) {
    throw new FunctionError("FIRN_FUNCTION_IMPORT", `${load.entry} cannot be imported: ${messageOf(cause)}`, {
      cause,
    });
  }
  return findHandler(exports, load.handler, load.entry);
}

/** What functions written for AWS Lambda look for. */
function lambdaEnvironment(load: LoadFunction, root: string): Record<string, string> {
  return {
    AWS_LAMBDA_FUNCTION_NAME: load.functionName,
    AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(load.memoryMib),
    AWS_LAMBDA_INITIALIZATION_TYPE: "snap-start",
    LAMBDA_TASK_ROOT: root,
    _HANDLER: load.handler,
  };
}
