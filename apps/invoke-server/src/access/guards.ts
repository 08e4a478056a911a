import type { Context, MiddlewareHandler } from "hono";
import { ServiceError } from "../service-error.ts";
import type { Access } from "./access.ts";
import { type NamedHost, parseHost, parseOrigin } from "./host-names.ts";

/**
 * Guards control routes against web pages: whoever has a page open in a browser on this machine must not deploy, invoke or read
 * through it. A request must name a host of this server, and must not come from a page of another one.
 *
 * @throws {ServiceError} FIRN_HOST_NOT_ALLOWED, FIRN_ORIGIN_NOT_ALLOWED.
 */
export function guardControl(access: Access): MiddlewareHandler {
  return async (context, next) => {
    const host = requireHost(context, (name) => access.isControlHost(name), "--allowed-hosts");
    requireOwnPage(context, host, access);
    await next();
  };
}

/**
 * Guards function URLs. Pages of all origins may call them, and the function's own CORS headers say who may read the answer. A
 * page that has made its own name point here would not be held to that: therefore the name is checked as well, unless the server
 * listens beyond loopback, by which the operator has published its functions to whoever reaches it.
 *
 * @throws {ServiceError} FIRN_HOST_NOT_ALLOWED.
 */
export function guardFunctionUrl(access: Access): MiddlewareHandler {
  return async (context, next) => {
    requireHost(context, (name) => access.isFunctionHost(name), "--function-hosts");
    await next();
  };
}

/** Whether a browser sent this request for a page. All that are in use send one of these headers with a request that changes something. */
export function isFromPage(context: Context): boolean {
  return ["origin", "sec-fetch-site", "referer"].some((name) => context.req.header(name) !== undefined);
}

function requireHost(context: Context, isAllowed: (name: string) => boolean, flag: string): NamedHost {
  const header = context.req.header("host");
  const host = parseHost(header);
  if (host !== undefined && isAllowed(host.name)) return host;
  const shown = JSON.stringify((host?.name ?? header ?? "").slice(0, 100));
  throw new ServiceError(
    "FIRN_HOST_NOT_ALLOWED",
    `The request is for the host ${shown}, which is not known as this server's. If it is, start the server with ${flag}.`,
  );
}

function requireOwnPage(context: Context, host: NamedHost, access: Access): void {
  const header = context.req.header("origin");
  if (header !== undefined) {
    const origin = parseOrigin(header);
    const isOwn =
      origin !== undefined && (origin.authority === host.authority || access.isOwnHost(origin.name));
    if (isOwn) return;
    throw notAllowed(`of the origin ${JSON.stringify(header.slice(0, 100))}`);
  }
  // A page of another site that asks without CORS sends no origin with a GET.
  if (context.req.header("sec-fetch-site")?.toLowerCase() === "cross-site")
    throw notAllowed("of another site");
}

function notAllowed(whose: string): ServiceError {
  return new ServiceError(
    "FIRN_ORIGIN_NOT_ALLOWED",
    `The request comes from a web page ${whose}. Only pages of this server and of hosts in --allowed-hosts may call its control routes.`,
  );
}
