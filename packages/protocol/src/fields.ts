import { ProtocolError } from "./errors.ts";

const UINT32_MAX = 0xffff_ffff;

/**
 * Checks that every number in `fields` is an unsigned 32-bit integer: protobufjs would write something else silently.
 *
 * @throws {ProtocolError} FIRN_PROTOCOL naming the first field that is not.
 */
export function assertEncodable(fields: object): void {
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === "number" && !(Number.isInteger(value) && value >= 0 && value <= UINT32_MAX)) {
      throw new ProtocolError(`Field ${name} is ${value}: expected an integer from 0 to ${UINT32_MAX}.`);
    }
  }
}

/** Copies the fields of a decoded message, defaults included, into an object that carries nothing of protobufjs. */
export function plainFields(message: object): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  // The generated prototype holds every field with its default value, and nothing else that is enumerable.
  for (const name of Object.keys(Object.getPrototypeOf(message))) {
    fields[name] = plainValue((message as Record<string, unknown>)[name]);
  }
  return fields;
}

function plainValue(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map((element: unknown) =>
      typeof element === "object" ? plainFields(element as object) : element,
    );
  }
  // What is left of object type is a map with string values.
  if (typeof value === "object" && value !== null && !(value instanceof Uint8Array)) return { ...value };
  return value;
}
