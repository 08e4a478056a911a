import { readFileSync } from "node:fs";
import { inject } from "vitest";

/** A line that a function has printed. */
export interface PrintedLine {
  readonly requestId?: string;
  readonly msg: string;
}

/** What a function has printed, at its deploy too, as far as it is in the server's log. */
export function printedLines(name: string, matching: RegExp): PrintedLine[] {
  return readFileSync(inject("log"), "utf8")
    .split("\n")
    .flatMap((text) => {
      try {
        const line = JSON.parse(text) as PrintedLine & { function?: string; stream?: string };
        return line.function === name && line.stream !== undefined && matching.test(line.msg) ? [line] : [];
      } catch {
        return [];
      }
    });
}
