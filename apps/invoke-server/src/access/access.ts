import { isIP } from "node:net";
import { isListed, isLoopback, isWildcard } from "./host-names.ts";

/** Who may call what. There are no credentials: what is kept out is web pages that use a visitor's browser as their hand. */
export interface AccessSettings {
  /** Address that the server listens on. Without one (another program listens) every IP address may be called. */
  readonly listen?: string | undefined;
  /** Further names of this server, such as `firn.example.com` or `*.example.com`. */
  readonly allowedHosts?: readonly string[];
  /** Names under which only function URLs answer; `*` is every name. By default every name, unless the server listens on loopback. */
  readonly functionHosts?: readonly string[] | undefined;
  /** Whether function URLs tell everybody how a request was started, and heed `X-Firn-*` headers. */
  readonly debugHeaders?: boolean;
}

/** The decisions that follow from {@link AccessSettings}. */
export class Access {
  readonly debugHeaders: boolean;
  readonly #listen: string | undefined;
  readonly #allowedHosts: readonly string[];
  readonly #functionHosts: readonly string[];

  constructor(settings: AccessSettings = {}) {
    const { listen, allowedHosts = [], debugHeaders = false } = settings;
    this.#listen = listen?.toLowerCase();
    this.#allowedHosts = allowedHosts;
    const isPrivate = this.#listen !== undefined && isLoopback(this.#listen);
    this.#functionHosts = settings.functionHosts ?? (isPrivate ? [] : ["*"]);
    this.debugHeaders = debugHeaders;
  }

  /**
   * Whether control routes answer to this name. A page can make a name of its own point here (DNS rebinding), and then reads
   * what it asks for; it cannot do so with an address, nor with a name that no resolver is asked for.
   */
  isControlHost(name: string): boolean {
    if (isLoopback(name) || name === this.#listen || this.isOwnHost(name)) return true;
    return isIP(name) !== 0 && (this.#listen === undefined || isWildcard(this.#listen));
  }

  /** Whether function URLs answer to this name. */
  isFunctionHost(name: string): boolean {
    return this.isControlHost(name) || isListed(name, this.#functionHosts);
  }

  /** Whether the operator has named this host: pages that it serves are the operator's. */
  isOwnHost(name: string): boolean {
    return isListed(name, this.#allowedHosts);
  }
}
