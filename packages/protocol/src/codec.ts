import { firn } from "#gen";
import { ProtocolError } from "./errors.ts";
import { assertFewFields } from "./field-limit.ts";
import { assertEncodable, plainFields } from "./fields.ts";
import type {
  GuestMessage,
  HostMessage,
  RuntimeCommand,
  RuntimeLog,
  RuntimeReport,
  RuntimeResume,
} from "./messages.ts";

const wire = firn.protocol.v2;

/** What the four generated envelope classes have in common: one oneof named `message`. */
interface Envelope {
  encode(message: object): { finish(): Uint8Array };
  decode(bytes: Uint8Array): { message?: string };
}

/**
 * Encodes a message of the host, without its frame.
 *
 * @throws {ProtocolError} FIRN_PROTOCOL if a number is no unsigned 32-bit integer.
 */
export function encodeHostMessage(message: HostMessage): Uint8Array {
  return encode(wire.HostMessage, message);
}

/**
 * Decodes a message of the host, without its frame.
 *
 * @throws {ProtocolError} FIRN_PROTOCOL if the bytes are no such message.
 */
export function decodeHostMessage(bytes: Uint8Array): HostMessage {
  return decode(wire.HostMessage, bytes, "host message") as HostMessage;
}

/**
 * Encodes a message of the guest, without its frame.
 *
 * @throws {ProtocolError} FIRN_PROTOCOL if a number is no unsigned 32-bit integer.
 */
export function encodeGuestMessage(message: GuestMessage): Uint8Array {
  return encode(wire.GuestMessage, message);
}

/**
 * Decodes a message of the guest, without its frame. Guests are hostile: contents are checked for type, not for sense.
 *
 * @throws {ProtocolError} FIRN_PROTOCOL if the bytes are no such message.
 */
export function decodeGuestMessage(bytes: Uint8Array): GuestMessage {
  return decode(wire.GuestMessage, bytes, "guest message") as GuestMessage;
}

/**
 * Encodes a message of the agent to its runtime process, without its frame.
 *
 * @throws {ProtocolError} FIRN_PROTOCOL if a number is no unsigned 32-bit integer.
 */
export function encodeRuntimeCommand(message: RuntimeCommand): Uint8Array {
  return encode(wire.RuntimeCommand, message);
}

/**
 * Decodes a message of the agent to its runtime process, without its frame.
 *
 * @throws {ProtocolError} FIRN_PROTOCOL if the bytes are no such message.
 */
export function decodeRuntimeCommand(bytes: Uint8Array): RuntimeCommand {
  return decode(wire.RuntimeCommand, bytes, "runtime command") as RuntimeCommand;
}

/**
 * Encodes a message of the runtime process to the agent, without its frame.
 *
 * @throws {ProtocolError} FIRN_PROTOCOL if a number is no unsigned 32-bit integer.
 */
export function encodeRuntimeReport(message: RuntimeReport): Uint8Array {
  return encode(wire.RuntimeReport, message);
}

/**
 * Decodes a message of the runtime process to the agent, without its frame.
 *
 * @throws {ProtocolError} FIRN_PROTOCOL if the bytes are no such message.
 */
export function decodeRuntimeReport(bytes: Uint8Array): RuntimeReport {
  return decode(wire.RuntimeReport, bytes, "runtime report") as RuntimeReport;
}

/** Encodes what the agent writes to the runtime's gate, without its frame. */
export function encodeRuntimeResume(message: RuntimeResume): Uint8Array {
  return wire.RuntimeResume.encode(message).finish();
}

/**
 * Decodes what the runtime reads from its gate, without its frame.
 *
 * @throws {ProtocolError} FIRN_PROTOCOL if the bytes are no such message.
 */
export function decodeRuntimeResume(bytes: Uint8Array): RuntimeResume {
  return decodeAlone(wire.RuntimeResume, bytes, "resume message on the gate") as RuntimeResume;
}

/**
 * Encodes what the runtime writes to its log pipe, without its frame.
 *
 * @throws {ProtocolError} FIRN_PROTOCOL if the number of the invocation is no unsigned 32-bit integer.
 */
export function encodeRuntimeLog(message: RuntimeLog): Uint8Array {
  assertEncodable(message);
  return wire.RuntimeLog.encode(message).finish();
}

/**
 * Decodes what the agent reads from the log pipe, without its frame.
 *
 * @throws {ProtocolError} FIRN_PROTOCOL if the bytes are no such message.
 */
export function decodeRuntimeLog(bytes: Uint8Array): RuntimeLog {
  return decodeAlone(wire.RuntimeLog, bytes, "message on the log pipe") as RuntimeLog;
}

/** Decodes a message that is in no envelope. */
function decodeAlone(
  message: { decode(bytes: Uint8Array): object },
  bytes: Uint8Array,
  what: string,
): object {
  assertFewFields(bytes);
  try {
    return plainFields(message.decode(bytes));
  } catch (cause) {
    throw new ProtocolError(`A ${what} cannot be decoded: it is malformed.`, { cause });
  }
}

function encode(envelope: Envelope, message: { readonly type: string }): Uint8Array {
  const { type, ...fields } = message;
  assertEncodable(fields);
  return envelope.encode({ [type]: fields }).finish();
}

function decode(envelope: Envelope, bytes: Uint8Array, what: string): { type: string } {
  assertFewFields(bytes);
  let decoded: { message?: string };
  try {
    decoded = envelope.decode(bytes);
  } catch (cause) {
    throw new ProtocolError(`A ${what} of ${bytes.length} bytes cannot be decoded: it is malformed.`, {
      cause,
    });
  }
  const type = decoded.message;
  if (type === undefined) {
    throw new ProtocolError(`A ${what} of ${bytes.length} bytes is of no kind that this version knows.`);
  }
  const body = (decoded as unknown as Record<string, object>)[type] as object;
  const fields = plainFields(body);
  if (type === "invoke" && fields.kind !== "event" && fields.kind !== "http") {
    throw new ProtocolError(`An invocation is of kind "${String(fields.kind)}": expected "event" or "http".`);
  }
  return { type, ...fields };
}
