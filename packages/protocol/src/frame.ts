import { ProtocolError } from "./errors.ts";

/** Largest message in bytes, its length prefix not counted: 16 MiB. */
export const MAX_MESSAGE_BYTES: number = 16 * 1024 * 1024;

/** Size of the length prefix in bytes: a 32-bit little-endian integer. */
export const FRAME_PREFIX_BYTES = 4;

/**
 * Precedes a message by its length.
 *
 * @param message An encoded message of at most {@link MAX_MESSAGE_BYTES}.
 * @returns A new array of `message.length + 4` bytes.
 * @throws {ProtocolError} FIRN_PROTOCOL if the message is too long.
 */
export function frame(message: Uint8Array): Uint8Array {
  if (message.length > MAX_MESSAGE_BYTES) {
    throw new ProtocolError(
      `A message of ${message.length} bytes does not fit into a frame of ${MAX_MESSAGE_BYTES} bytes. Send a smaller payload.`,
    );
  }
  const framed = new Uint8Array(FRAME_PREFIX_BYTES + message.length);
  new DataView(framed.buffer).setUint32(0, message.length, true);
  framed.set(message, FRAME_PREFIX_BYTES);
  return framed;
}
