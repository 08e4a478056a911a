import { inject } from "vitest";
import { type ArchiveEntry, tarOf } from "../../../packages/functions/test/archives.ts";

/** The server under test. */
export const url: string = inject("url");

/** An answer, with what the server says about how it came about. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
  /** The body as JSON; `undefined` if it is none. */
  readonly json: unknown;
  /** How the instance was started. */
  readonly start: string | null;
  /** Milliseconds in the server, `total` among them. */
  readonly phases: Readonly<Record<string, number>>;
}

/** Sends a request to the server under test. */
export async function call(path: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url + path, init);
  const body = Buffer.from(await response.arrayBuffer());
  const timing = response.headers.get("server-timing") ?? "";
  const phases = [...timing.matchAll(/([a-z]+);dur=([\d.]+)/g)].map(([, name, ms]) => [name, Number(ms)]);
  return {
    status: response.status,
    headers: response.headers,
    body,
    json: parse(body),
    start: response.headers.get("x-firn-start"),
    phases: Object.fromEntries(phases),
  };
}

/** Invokes a function with an event. */
export function invoke(
  name: string,
  event: unknown = {},
  headers: Record<string, string> = {},
): Promise<Answer> {
  const path = `/2015-03-31/functions/${name}/invocations`;
  const type = { "content-type": "application/json" };
  return call(path, { method: "POST", body: JSON.stringify(event), headers: { ...type, ...headers } });
}

/** Deploys an archive. The timeouts are long: an emulated host is slow. */
export function deploy(
  name: string,
  archive: Uint8Array,
  query: Readonly<Record<string, string | number>> = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const settings = { timeoutMs: 60_000, readyTimeoutMs: 300_000, ...query };
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(settings)) parameters.set(key, String(value));
  return call(`/functions/${name}?${parameters}`, {
    method: "PUT",
    headers: { "content-type": "application/octet-stream", ...headers },
    body: archive as Uint8Array<ArrayBuffer>,
  });
}

/** Deploys one module, written here. */
export function deployModule(
  name: string,
  source: string,
  query: Record<string, string | number> = {},
): Promise<Answer> {
  const files: ArchiveEntry[] = [
    { name: "package.json", contents: '{"type":"module"}' },
    { name: "index.js", contents: source },
  ];
  return deploy(name, tarOf(files), query);
}

/** Removes a function, whether it is there or not. */
export async function remove(name: string): Promise<void> {
  await call(`/functions/${name}`, { method: "DELETE" });
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
}
