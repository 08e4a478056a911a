import { inspect, types } from "node:util";
import { withoutOwnFrames } from "./own-frames.ts";

/** Longest message that is passed on, in UTF-16 units. */
const MESSAGE_LIMIT = 32 * 1024;
const TYPE_LIMIT = 256;
const STACK_LIMIT = 64 * 1024;

/** How many errors below one are told: causes, and parts of an AggregateError. */
const DEPTH_LIMIT = 4;
const PARTS_LIMIT = 5;

/** What was thrown, as text. */
export interface Thrown {
  /** Name of its class, or its `typeof` if it is no error. */
  readonly type: string;
  readonly message: string;
  /** Its stack without the runtime's frames, then its causes; no lines if it has none. */
  readonly trace: readonly string[];
}

/**
 * Describes anything that can be thrown: errors of other realms, values that are no errors, objects whose getters throw. Never
 * throws, and what it gives is of bounded length.
 */
export function describeThrown(thrown: unknown): Thrown {
  if (!isError(thrown)) {
    return {
      type: thrown === null ? "object" : typeof thrown,
      message: cut(textOf(thrown), MESSAGE_LIMIT),
      trace: [],
    };
  }
  const type = cut(read(thrown, "name") || "Error", TYPE_LIMIT);
  return { type, message: cut(read(thrown, "message"), MESSAGE_LIMIT), trace: traceOf(thrown, new Set()) };
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return describeThrown(thrown).message;
}

/** The stack of anything that was thrown; "" if it has none. */
export function stackOf(thrown: unknown): string {
  return describeThrown(thrown).trace.join("\n");
}

/** Errors of every realm, and objects that were made to look like one. */
function isError(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  try {
    return (
      types.isNativeError(value) ||
      value instanceof Error ||
      (typeof (value as Error).message === "string" && typeof (value as Error).stack === "string")
    );
  } catch {
    return false;
  }
}

function read(value: object, key: "name" | "message" | "stack"): string {
  try {
    const found: unknown = (value as Record<string, unknown>)[key];
    return typeof found === "string" ? found : found === undefined ? "" : textOf(found);
  } catch {
    return "";
  }
}

function traceOf(error: object, seen: Set<object>): string[] {
  seen.add(error);
  const stack = withoutOwnFrames(cut(read(error, "stack"), STACK_LIMIT));
  const lines = stack === "" ? [] : stack.split("\n");
  for (const [title, below] of belowOf(error)) {
    if (seen.size > DEPTH_LIMIT + PARTS_LIMIT) break;
    if (!isError(below)) lines.push(`${title}: ${cut(textOf(below), MESSAGE_LIMIT)}`);
    else if (!seen.has(below)) {
      const [first = textOf(below), ...rest] = traceOf(below, seen);
      lines.push(`${title}: ${first}`, ...rest);
    }
  }
  return lines;
}

/** The errors that an error is made of. */
function belowOf(error: object): [title: string, error: unknown][] {
  try {
    const { cause, errors } = error as { cause?: unknown; errors?: unknown };
    const parts = Array.isArray(errors) ? errors.slice(0, PARTS_LIMIT) : [];
    return [
      ...(cause === undefined ? [] : [["Caused by", cause] as [string, unknown]]),
      ...parts.map((part): [string, unknown] => ["One of its errors", part]),
    ];
  } catch {
    return [];
  }
}

function textOf(value: unknown): string {
  try {
    if (typeof value !== "object" || value === null) return String(value);
    return toJson(value) ?? inspect(value, { customInspect: false, depth: 2 });
  } catch {
    return "a value that cannot be described";
  }
}

function toJson(value: object): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

function cut(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit)}… (${text.length - limit} more)`;
}
