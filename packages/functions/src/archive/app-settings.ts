import { invalidApp } from "./app-errors.ts";
import { readSamples, type Sample } from "./sample.ts";

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
}

const KNOWN = ["samples", "snapshotEnvironment", "warm"];

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
  const { snapshotEnvironment = false, warm } = firn as Record<string, unknown>;
  if (typeof snapshotEnvironment !== "boolean") throw notBoolean("snapshotEnvironment");
  if (warm !== undefined && typeof warm !== "boolean") throw notBoolean("warm");
  return { samples: readSamples(packageJson), snapshotEnvironment, warm: warm ?? null };
}

function notBoolean(name: string) {
  return invalidApp(`firn.${name} in the app's package.json is neither true nor false.`);
}
