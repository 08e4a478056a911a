import { writeSync } from "node:fs";
import { describeThrown } from "./thrown.ts";

const STANDARD_ERROR = 2;

/** How much a text of the runtime matters. */
export type LogLevel = "warn" | "error";

let write = (text: string, _level: LogLevel): void => {
  writeSync(STANDARD_ERROR, text);
};

/** Has what the runtime itself logs written by `writer`, from now on. */
export function writeLogBy(writer: (text: string, level: LogLevel) => void): void {
  write = writer;
}

/**
 * Writes a line to the function's log, whatever the function has made of `console` and `process.stderr`.
 *
 * @param text Without a line end.
 */
export function logText(text: string, level: LogLevel = "warn"): void {
  try {
    write(`${text}\n`, level);
  } catch {
    // Nobody reads the log; there is nowhere else to say it.
  }
}

/** Writes an error with its stack to the function's log. */
export function logError(title: string, thrown: unknown): void {
  const { type, message, trace } = describeThrown(thrown);
  logText([`${title}: ${trace[0] ?? `${type}: ${message}`}`, ...trace.slice(1)].join("\n"), "error");
}
