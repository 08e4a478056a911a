import { FunctionsError } from "../errors.ts";

/** How much an app may hold. */
export interface AppLimits {
  /** Sum of all files' lengths in bytes. */
  readonly maxBytes: number;
  /** Number of files, folders and links. */
  readonly maxEntries: number;
}

/** 256 MiB in 100,000 files. */
export const DEFAULT_APP_LIMITS: AppLimits = { maxBytes: 256 * 1024 * 1024, maxEntries: 100_000 };

/** The error for what an app may not be. */
export function invalidApp(message: string, options?: ErrorOptions): FunctionsError {
  return new FunctionsError("FIRN_APP_INVALID", message, options);
}

/** The error for too many bytes. */
export function tooLarge(limits: AppLimits): FunctionsError {
  const message = `The app's files have more than ${limits.maxBytes} bytes together. Leave out what the function does not need.`;
  return new FunctionsError("FIRN_APP_TOO_LARGE", message);
}

/** The error for too many entries. */
export function tooMany(limits: AppLimits): FunctionsError {
  return new FunctionsError(
    "FIRN_APP_TOO_LARGE",
    `The app has more than ${limits.maxEntries} files and folders.`,
  );
}
