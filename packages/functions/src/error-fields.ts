import { errorCode } from "@firn/snapshots";

/** How an error appears in the log: by code and sentence if it has them, with its stack if it is a defect. */
export function errorFields(error: unknown): { code: string; reason: string } | { err: unknown } {
  const code = errorCode(error);
  if (!(error instanceof Error) || code === undefined || !code.startsWith("FIRN_")) return { err: error };
  return { code, reason: error.message };
}
