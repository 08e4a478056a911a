import { ProtocolError } from "./errors.ts";

/** Most fields of a message, each entry of a list counted. A message of the agent protocol has a dozen, and its headers. */
export const MAX_FIELDS = 4096;

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/**
 * Refuses a message of more fields than any real one has, before it is decoded: an empty entry of a list takes two bytes on the
 * wire and an object in memory. Bytes that are no message are left to the decoder.
 *
 * @throws {ProtocolError} FIRN_PROTOCOL if there are more than {@link MAX_FIELDS}.
 */
export function assertFewFields(envelope: Uint8Array): void {
  let left = MAX_FIELDS;
  const count = () => {
    left -= 1;
    if (left < 0) {
      throw new ProtocolError(
        `A message of ${envelope.length} bytes has more than the ${MAX_FIELDS} fields that are allowed.`,
      );
    }
  };
  // An envelope's fields are messages; what these hold is not looked into any further.
  walk(envelope, (body) => {
    count();
    walk(body, count);
  });
}

/** Calls `visit` for each field, with its contents if it has a length, until the bytes end or make no sense. */
function walk(bytes: Uint8Array, visit: (contents: Uint8Array) => void): void {
  const reader = { bytes, at: 0 };
  while (reader.at < bytes.length) {
    const type = readVarint(reader) & 7;
    const length = type === LENGTH_DELIMITED ? readVarint(reader) : 0;
    visit(bytes.subarray(reader.at, reader.at + length));
    if (type === VARINT) readVarint(reader);
    else if (type === FIXED64) reader.at += 8;
    else if (type === LENGTH_DELIMITED) reader.at += length;
    else if (type === FIXED32) reader.at += 4;
  }
}

/** The low 32 bits of a number of up to ten bytes. */
function readVarint(reader: { readonly bytes: Uint8Array; at: number }): number {
  let value = 0;
  for (let index = 0; index < 10; index += 1) {
    const byte = reader.bytes[reader.at] ?? 0;
    reader.at += 1;
    if (index < 5) value |= (byte & 0x7f) << (7 * index);
    if (byte < 0x80) break;
  }
  return value >>> 0;
}
