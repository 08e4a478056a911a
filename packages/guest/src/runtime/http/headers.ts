import type { Header } from "@firn/protocol";

/** A token of HTTP. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** What HTTP cannot carry in a value: characters beyond one byte, and those that end a line. */
const UNSENDABLE = /[^\t\x20-\x7e\x80-\xff]/;

/**
 * Checks one header.
 *
 * @throws {TypeError} naming it, if HTTP cannot carry its name or its value.
 */
export function toHeader(name: string, value: string): Header {
  if (!NAME.test(name)) throw new TypeError(`${JSON.stringify(name)} cannot be the name of a header.`);
  const trimmed = value.replace(/^[\t ]+|[\t ]+$/g, "");
  const unsendable = UNSENDABLE.exec(trimmed)?.[0];
  if (unsendable !== undefined) {
    throw new TypeError(
      `The header "${name}" contains ${JSON.stringify(unsendable)}, which HTTP cannot carry: encode it.`,
    );
  }
  return { name: name.toLowerCase(), value: trimmed };
}

/**
 * The headers in what a handler of events returned. Those that are undefined or null are left out, a list gives several.
 *
 * @throws {TypeError} naming what cannot be a header.
 */
export function fromHeaderFields(result: Readonly<Record<string, unknown>>): Header[] {
  const single = entriesOf("headers", result.headers);
  const multiple = entriesOf("multiValueHeaders", result.multiValueHeaders);
  const listed = new Set(multiple.map(({ name, value }) => `${name}:${value}`));
  return [
    // The same in both is one header.
    ...single.filter(({ name, value }) => !listed.has(`${name}:${value}`)),
    ...multiple,
    ...valuesOf("cookies", result.cookies).map((value) => toHeader("set-cookie", value)),
  ];
}

function entriesOf(field: string, headers: unknown): Header[] {
  if (headers === undefined || headers === null) return [];
  if (typeof headers !== "object" || Array.isArray(headers)) {
    throw new TypeError(`${field} is no object: return { name: value }.`);
  }
  // A Headers object and a Map have their entries behind an iterator.
  const entries: Iterable<[unknown, unknown]> =
    Symbol.iterator in headers ? (headers as Iterable<[unknown, unknown]>) : Object.entries(headers);
  return [...entries].flatMap(([name, value]) =>
    valuesOf(`${field}: ${String(name)}`, value).map((text) => toHeader(String(name), text)),
  );
}

function valuesOf(what: string, value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap((one) => valuesOf(what, one));
  switch (typeof value) {
    case "undefined":
      return [];
    case "string":
      return [value];
    case "number":
    case "boolean":
    case "bigint":
      return [String(value)];
    default:
      if (value === null) return [];
      throw new TypeError(
        `${what} is a value of type ${typeof value}: a header is text, a number or a list.`,
      );
  }
}
