/** Headers that belong to one connection (RFC 9110, 7.6.1), and what a proxy consumes. */
const OF_A_CONNECTION = new Set([
  "connection",
  "expect",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** A header as it travels to and from the guest. */
export interface Header {
  readonly name: string;
  readonly value: string;
}

/**
 * Leaves out what is not for the other side: headers of the connection, those that `Connection` names, and those that are
 * Firn's own, which neither a caller nor a function may pretend to have set.
 */
export function endToEndHeaders(headers: Iterable<readonly [name: string, value: string]>): Header[] {
  const all = [...headers].map(([name, value]) => ({ name: name.toLowerCase(), value }));
  const named = new Set(
    all
      .filter(({ name }) => name === "connection")
      .flatMap(({ value }) => value.split(","))
      .map((name) => name.trim().toLowerCase()),
  );
  return all.filter(
    ({ name }) => !OF_A_CONNECTION.has(name) && !named.has(name) && !name.startsWith("x-firn-"),
  );
}
