import { SnapshotError } from "../errors.ts";

/** As OCI wants it, with "/" for those who have many. */
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._/-]{0,127}$/;

/** @throws {SnapshotError} FIRN_INVALID_PARAMETER if this is no name for a snapshot. */
export function requireTag(name: string): void {
  if (TAG.test(name)) return;
  throw new SnapshotError(
    "FIRN_INVALID_PARAMETER",
    `"${name.slice(0, 140)}" is no tag: 1 to 128 letters, digits and ".", "_", "/", "-", a letter or digit first.`,
  );
}
