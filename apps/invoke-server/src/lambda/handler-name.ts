import type { FunctionRecord } from "@firn/functions";
import { DEPLOY_DEFAULTS } from "../limits.ts";

/** Splits Lambda's `folder/file.export.inner` at the first dot behind its last slash, as AWS does. */
export function splitHandler(name: string): { entry: string; handler: string } {
  const dot = name.indexOf(".", name.lastIndexOf("/") + 2);
  if (dot <= 0) return { entry: name, handler: DEPLOY_DEFAULTS.handler };
  return { entry: name.slice(0, dot), handler: name.slice(dot + 1) };
}

/**
 * The handler's name in the words of the Lambda API.
 *
 * @param record A function; its entry is empty if its runtime finds the module itself.
 * @param defaultHandler That of its runtime.
 */
export function joinHandler(
  { wantedEntry, entry, handler }: Pick<FunctionRecord, "wantedEntry" | "entry" | "handler">,
  defaultHandler: string,
): string {
  const module = wantedEntry ?? entry.replace(/\.[^./]+$/, "");
  if (module !== "") return `${module}.${handler}`;
  return handler === DEPLOY_DEFAULTS.handler && defaultHandler !== "" ? defaultHandler : handler;
}
