import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));

/** The runtime's own folder: that of the bundle, or that above this file where the sources run as they are. */
const OWN_FOLDER = HERE.endsWith("/runtime/errors") ? dirname(HERE) : HERE;

/** Takes the runtime's own frames out of a stack: they say nothing of the function. */
export function withoutOwnFrames(stack: string): string {
  return stack
    .split("\n")
    .filter((line) => !isOwnFrame(line))
    .join("\n");
}

/** Whether a line of a stack is a frame of the runtime. */
export function isOwnFrame(line: string): boolean {
  return /^\s*at /.test(line) && line.includes(`${OWN_FOLDER}/`);
}

/** Whether a file is one of the runtime's. */
export function isOwnFile(path: string): boolean {
  return path.startsWith(`${OWN_FOLDER}/`);
}
