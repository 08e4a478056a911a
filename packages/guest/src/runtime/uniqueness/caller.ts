import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { isOwnFile } from "../errors/own-frames.ts";

/** How many frames are looked at. */
const DEPTH = 16;

/**
 * The place in the function that called what is being run, as file and line, relative to the working directory; `undefined` if Node.js
 * or the runtime did by themselves.
 */
export function callerOutside(): string | undefined {
  for (const site of callSites()) {
    const file = pathOf(site.getFileName() ?? site.getEvalOrigin());
    if (file === undefined || isOwnFile(file)) continue;
    const short = relative(process.cwd(), file);
    return `${short.startsWith(`..${sep}`) ? file : short}:${site.getLineNumber() ?? 0}`;
  }
  return undefined;
}

function callSites(): readonly NodeJS.CallSite[] {
  const { prepareStackTrace, stackTraceLimit } = Error;
  try {
    Error.stackTraceLimit = DEPTH;
    Error.prepareStackTrace = (_, sites) => sites;
    const holder: { stack?: unknown } = {};
    Error.captureStackTrace(holder, callerOutside);
    return Array.isArray(holder.stack) ? holder.stack : [];
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
    if (prepareStackTrace === undefined) Reflect.deleteProperty(Error, "prepareStackTrace");
    else Error.prepareStackTrace = prepareStackTrace;
  }
}

function pathOf(file: string | undefined): string | undefined {
  if (file === undefined || file.startsWith("node:")) return undefined;
  if (!file.startsWith("file:")) return file.startsWith("/") ? file : undefined;
  try {
    return fileURLToPath(file);
  } catch {
    return undefined;
  }
}
