import { writeSync } from "node:fs";
import { describeThrown } from "./thrown.ts";

const STANDARD_ERROR = 2;

/**
 * Writes a line to the function's log, whatever the function has made of `console` and `process.stderr`.
 *
 * @param text Without a line end.
 */
export function logText(text: string): void {
  try {
    writeSync(STANDARD_ERROR, `${text}\n`);
  } catch {
    // Nobody reads the log; there is nowhere else to say it.
  }
}

/** Writes an error with its stack to the function's log. */
export function logError(title: string, thrown: unknown): void {
  const { type, message, trace } = describeThrown(thrown);
  logText([`${title}: ${trace[0] ?? `${type}: ${message}`}`, ...trace.slice(1)].join("\n"));
}
