import { FirnVmmError } from "./errors.ts";

/**
 * Checks an option that must be a whole number: the native side converts numbers as C does, modulo their width.
 *
 * @throws {FirnVmmError} FIRN_VMM_OPTIONS.
 */
export function requireWhole(
  name: string,
  value: number,
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  const range = max === Number.MAX_SAFE_INTEGER ? `from ${min} on` : `from ${min} to ${max}`;
  throw new FirnVmmError("FIRN_VMM_OPTIONS", `${name} is ${value}: expected a whole number ${range}.`);
}
