import { FirnVmmError } from "./errors.ts";

/** The 32 bytes of a digest that is written as `sha256:` and 64 hexadecimal digits. */
export function parseDigest(text: string): Uint8Array {
  const [, hexadecimal] = /^sha256:([0-9a-f]{64})$/.exec(text) ?? [];
  if (hexadecimal !== undefined) return Buffer.from(hexadecimal, "hex");
  const message = `${JSON.stringify(text)} is not a digest: expected "sha256:" and 64 lower-case hexadecimal digits.`;
  throw new FirnVmmError("FIRN_VMM_OPTIONS", message);
}
