import { CliError, EXIT } from "./errors.ts";

/** A deployed function, as the server shows it. */
export interface RemoteFunction {
  readonly name: string;
  readonly state: string;
  readonly failure: { readonly code: string; readonly message: string } | null;
  /** What clones of its snapshot share although they should not, and what to do. */
  readonly warnings?: readonly { readonly code: string; readonly message: string }[];
  readonly entry: string;
  readonly memoryMib: number;
  readonly timeoutMs: number;
  readonly version: number;
  readonly updated: string;
  readonly snapshot?: { readonly memoryBytes: number; readonly layerBytes: number } | null;
}

/** What a deploy sets. Absent settings are the server's defaults. */
export interface DeploySettings {
  readonly entry?: string | undefined;
  readonly handler?: string | undefined;
  /** Name of the runtime, such as node24. */
  readonly runtime?: string | undefined;
  readonly memoryMib?: number | undefined;
  readonly timeoutMs?: number | undefined;
  /** Whether the samples are answered before the snapshot, until they get no faster. */
  readonly warm?: boolean | undefined;
  /** An HTTP server's program and arguments, a list in JSON. */
  readonly command?: string | undefined;
  /** The port at which it listens. */
  readonly port?: number | undefined;
  readonly environment: Readonly<Record<string, string>>;
}

/** The status of a server. */
export interface Health {
  readonly status: string;
  readonly kvm: { readonly available: boolean; readonly reason?: string };
  readonly base: { readonly state: string; readonly message?: string };
  readonly functions: number;
  readonly instances: { readonly busy: number; readonly idle: number };
}

/** The answer of a function. */
export interface InvokeAnswer {
  readonly payload: Uint8Array;
  /** How the instance was started: cold, warm, base or regular. */
  readonly start: string;
  /** Milliseconds in the server, or `undefined` if it did not say. */
  readonly milliseconds: number | undefined;
  /** "" if the function answered. */
  readonly functionError: string;
}

/** Talks to an invoke server. All methods throw {@link CliError}. */
export class Client {
  readonly #server: string;
  readonly #timeoutMs: number;

  /**
   * @param server Base URL.
   * @param timeoutMs How long one request may take; a deploy on a slow machine takes minutes.
   */
  constructor(server: string, timeoutMs: number) {
    if (!URL.canParse(server) || !/^https?:$/.test(new URL(server).protocol)) {
      throw new CliError(`--server ${server} is no URL: expected one such as http://127.0.0.1:8080.`, {
        exitCode: EXIT.usage,
      });
    }
    this.#server = server.replace(/\/+$/, "");
    this.#timeoutMs = timeoutMs;
  }

  async deploy(
    name: string,
    archive: Uint8Array,
    contentType: string,
    settings: DeploySettings,
  ): Promise<RemoteFunction> {
    const { environment, ...others } = settings;
    const parameters = new URLSearchParams();
    for (const [key, value] of Object.entries(others)) {
      if (value !== undefined) parameters.set(key, String(value));
    }
    const headers: Record<string, string> = { "Content-Type": contentType };
    if (Object.keys(environment).length > 0) {
      headers["X-Firn-Environment"] = Buffer.from(JSON.stringify(environment)).toString("base64");
    }
    const query = parameters.size > 0 ? `?${parameters}` : "";
    const path = `/functions/${encodeURIComponent(name)}${query}`;
    const response = await this.#request(path, {
      method: "PUT",
      headers,
      body: archive as Uint8Array<ArrayBuffer>,
    });
    return (await response.json()) as RemoteFunction;
  }

  async invoke(name: string, event: Uint8Array, start: string | undefined): Promise<InvokeAnswer> {
    const headers = {
      "Content-Type": "application/json",
      ...(start === undefined ? {} : { "X-Firn-Start": start }),
    };
    const path = `/2015-03-31/functions/${encodeURIComponent(name)}/invocations`;
    const init = { method: "POST", headers, body: event as Uint8Array<ArrayBuffer> };
    const response = await this.#request(path, init);
    const total = /(?:^|, )total;dur=([\d.]+)/.exec(response.headers.get("server-timing") ?? "")?.[1];
    return {
      payload: new Uint8Array(await response.arrayBuffer()),
      start: response.headers.get("x-firn-start") ?? "unknown",
      milliseconds: total === undefined ? undefined : Number(total),
      functionError: response.headers.get("x-amz-function-error") ?? "",
    };
  }

  async list(): Promise<RemoteFunction[]> {
    const response = await this.#request("/functions", {});
    return ((await response.json()) as { functions: RemoteFunction[] }).functions;
  }

  async delete(name: string): Promise<void> {
    await this.#request(`/functions/${encodeURIComponent(name)}`, { method: "DELETE" });
  }

  async health(): Promise<Health> {
    return (await (await this.#request("/health", {})).json()) as Health;
  }

  async #request(path: string, init: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(this.#server + path, { ...init, signal: AbortSignal.timeout(this.#timeoutMs) });
    } catch (cause) {
      if (cause instanceof DOMException && cause.name === "TimeoutError") {
        throw new CliError(`The server at ${this.#server} did not answer within ${this.#timeoutMs} ms.`, {
          exitCode: EXIT.unreachable,
          cause,
        });
      }
      throw new CliError(
        `No server answers at ${this.#server}. Start one (npm run up), or name another with --server or FIRN_SERVER.`,
        { exitCode: EXIT.unreachable, cause },
      );
    }
    if (response.ok) return response;
    const text = await response.text();
    const { Message, code, Stack } = parseError(text);
    throw new CliError(Message ?? `The server answered ${response.status}: ${text.slice(0, 500)}`, {
      code,
      details: Stack ?? "",
    });
  }
}

function parseError(text: string): { Message?: string; code?: string; Stack?: string } {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
