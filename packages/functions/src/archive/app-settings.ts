import { invalidApp } from "./app-errors.ts";
import { readSamples, type Sample } from "./sample.ts";

/** A function that is an HTTP server. */
export interface ServerCommand {
  /** The program that is started, and its arguments: a path in the app, such as ./server, or a program of the runtime. */
  readonly command: readonly string[];
  /** The port at which it listens on the loopback interface, 1 to 65535; it is told by the variable PORT. */
  readonly port: number;
}

/** The port of a server whose settings do not say. */
export const DEFAULT_SERVER_PORT = 8080;

/** What an app says for Firn: the object `firn` in its package file. */
export interface AppSettings {
  /** Requests that stand for those the function gets. */
  readonly samples: readonly Sample[];
  /** Whether the function's environment is there when its code is loaded, and so is part of its snapshot. */
  readonly snapshotEnvironment: boolean;
  /**
   * Whether the samples are answered before the snapshot, until they get no faster. `null` if nothing is said: they are, unless the
   * function has variables that are not there yet.
   */
  readonly warm: boolean | null;
  /** How to start the HTTP server that the function is; `null` if it is none. */
  readonly server: ServerCommand | null;
}

/** Most words of a command: the message that carries it is bounded. */
const MAX_WORDS = 256;

const KNOWN = ["command", "port", "samples", "snapshotEnvironment", "warm"];

/**
 * Reads an app's settings out of its parsed package file.
 *
 * @throws {FunctionsError} FIRN_APP_INVALID naming the first one that is wrong or unknown.
 */
export function readAppSettings(packageJson: unknown): AppSettings {
  const firn = (packageJson as { firn?: unknown } | null | undefined)?.firn ?? {};
  if (typeof firn !== "object" || Array.isArray(firn)) {
    throw invalidApp('firn in the app\'s package.json is no object, such as { "samples": [] }.');
  }
  const unknown = Object.keys(firn).find((key) => !KNOWN.includes(key));
  if (unknown !== undefined) {
    throw invalidApp(
      `firn.${unknown} in the app's package.json is not known. There are: ${KNOWN.join(", ")}.`,
    );
  }
  const { snapshotEnvironment = false, warm, command, port } = firn as Record<string, unknown>;
  if (typeof snapshotEnvironment !== "boolean") throw notBoolean("snapshotEnvironment");
  if (warm !== undefined && typeof warm !== "boolean") throw notBoolean("warm");
  const server = readServer("firn.", command, port);
  return { samples: readSamples(packageJson), snapshotEnvironment, warm: warm ?? null, server };
}

/**
 * Checks the command and the port of an HTTP server.
 *
 * @param where What stands before their names in an error.
 * @throws {FunctionsError} FIRN_APP_INVALID.
 */
export function readServer(where: string, command: unknown, port: unknown): ServerCommand | null {
  if (command === undefined && port === undefined) return null;
  const isCommand = Array.isArray(command) && command.length > 0 && command.length <= MAX_WORDS;
  if (
    !isCommand ||
    command.some((word) => typeof word !== "string" || word.includes("\0")) ||
    command[0] === ""
  ) {
    throw invalidApp(`${where}command is no list of words, such as ["./server", "--quiet"].`);
  }
  const number = port ?? DEFAULT_SERVER_PORT;
  if (typeof number !== "number" || !Number.isInteger(number) || number < 1 || number > 65_535) {
    throw invalidApp(`${where}port is no number from 1 to 65535.`);
  }
  return { command, port: number };
}

function notBoolean(name: string) {
  return invalidApp(`firn.${name} in the app's package.json is neither true nor false.`);
}
