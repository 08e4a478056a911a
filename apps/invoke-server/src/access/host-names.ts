import { isIP } from "node:net";

/** A host as a Host header or an origin names it. */
export interface NamedHost {
  /** In small letters; an IPv6 address without its brackets. */
  readonly name: string;
  /** Name and port, as far as the port is not the scheme's own. */
  readonly authority: string;
}

/** Reads a Host header; `undefined` if it is none that a client could mean. */
export function parseHost(header: string | undefined): NamedHost | undefined {
  if (header === undefined || !/^[^\s/?#@\\]+$/.test(header) || !URL.canParse(`http://${header}`))
    return undefined;
  return named(new URL(`http://${header}`));
}

/** Reads an Origin header; `undefined` for `null` and for what is no origin of the web. */
export function parseOrigin(header: string): NamedHost | undefined {
  if (!/^https?:\/\//i.test(header) || !URL.canParse(header)) return undefined;
  return named(new URL(header));
}

/** Whether only this machine answers to a name: no resolver of the network is asked for it. */
export function isLoopback(name: string): boolean {
  if (name === "localhost" || name.endsWith(".localhost")) return true;
  return isIP(name) === 4 ? name.startsWith("127.") : name === "::1";
}

/** Whether a server that listens there hears on every address of the machine. */
export function isWildcard(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}

/** Whether a name is in a list of names, of which those that begin with `*.` stand for all names below, and `*` for all. */
export function isListed(name: string, list: readonly string[]): boolean {
  return list.some((entry) => {
    const wanted = entry.toLowerCase();
    if (wanted === "*") return true;
    return wanted.startsWith("*.") ? name.endsWith(wanted.slice(1)) : name === wanted;
  });
}

function named({ hostname, host }: URL): NamedHost {
  return { name: hostname.replace(/^\[|\]$/g, ""), authority: host };
}
