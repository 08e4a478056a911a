import type { IncomingMessage } from "node:http";
import type { InvokeRequest } from "@firn/snapshots";
import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import { routePath } from "hono/route";
import {
  announcedBytes,
  MAX_PAYLOAD_BYTES,
  type ReadableRequest,
  readBody,
  streamBody,
} from "../request-body.ts";
import { ServiceError } from "../service-error.ts";
import { endToEndHeaders, type Header } from "./connection-headers.ts";

/** Methods whose requests have no body for a fetch handler. */
const BODYLESS_METHODS = new Set(["GET", "HEAD"]);

/** The request as the function gets it. */
export type ForwardedRequest = Required<Pick<InvokeRequest, "payload" | "http">> &
  Pick<InvokeRequest, "rest">;

/**
 * Makes of a request to this server the request to the function. A body that says that it is short is waited for, so that a slow caller
 * holds no instance; any other one reaches the function as it arrives.
 *
 * @param prefix Route that names the function, such as `/url/:name`; the function sees what comes after it.
 * @param limitBytes Longest body that is passed on as it arrives.
 * @throws {ServiceError} FIRN_METHOD_NOT_SUPPORTED, FIRN_UPGRADE_NOT_SUPPORTED, FIRN_INVALID_REQUEST, FIRN_PAYLOAD_TOO_LARGE.
 */
export async function forwardedRequest(
  context: Context,
  prefix: string,
  limitBytes: number,
): Promise<ForwardedRequest> {
  const { method, url } = context.req;
  requireSupported(context);
  const http = { method, url: innerUrl(url, depthOf(context, prefix)), headers: forwardedHeaders(context) };
  const body = bodyOf(context);
  const isWhole = BODYLESS_METHODS.has(method) || announcedBytes(body) <= MAX_PAYLOAD_BYTES;
  if (isWhole) return { http, payload: await readBody(body, MAX_PAYLOAD_BYTES) };
  return { http, payload: new Uint8Array(), rest: streamBody(body, limitBytes) };
}

function requireSupported(context: Context): void {
  const { method } = context.req;
  if (method === "TRACE" || method === "CONNECT") {
    throw new ServiceError("FIRN_METHOD_NOT_SUPPORTED", `Functions are not called with ${method}.`);
  }
  if (/(^|[\s,])websocket($|[\s,/])/i.test(context.req.header("upgrade") ?? "")) {
    throw new ServiceError(
      "FIRN_UPGRADE_NOT_SUPPORTED",
      "WebSockets are not supported: a function answers one request at a time. Use requests, or a WebSocket server beside Firn.",
    );
  }
}

/** A Request of the Fetch standard has no body with GET and HEAD; HTTP and function URL events may. */
function bodyOf(context: Context): ReadableRequest {
  const { method, raw } = context.req;
  const length = context.req.header("content-length") ?? "0";
  const hasBody = length !== "0" || context.req.header("transfer-encoding") !== undefined;
  if (!hasBody || !BODYLESS_METHODS.has(method)) return raw;
  const incoming = incomingOf(context);
  if (incoming !== undefined) {
    // Who sends too much must still be able to read the answer.
    const body = (incoming as IncomingMessage).iterator({ destroyOnReturn: false });
    return { headers: raw.headers, body };
  }
  throw new ServiceError(
    "FIRN_INVALID_REQUEST",
    `The body of a ${method} request cannot be read here. Use POST, or the query.`,
  );
}

/** The request as Node.js has it, if it is Node.js that serves. */
function incomingOf(context: Context) {
  return (context.env as Partial<HttpBindings> | undefined)?.incoming;
}

function forwardedHeaders(context: Context): Header[] {
  const headers = endToEndHeaders(context.req.raw.headers);
  const peer = incomingOf(context)?.socket.remoteAddress;
  if (peer === undefined) return headers;
  const before = headers.find(({ name }) => name === "x-forwarded-for")?.value;
  const others = headers.filter(({ name }) => name !== "x-forwarded-for");
  const address = peer.replace(/^::ffff:/, "");
  return [
    ...others,
    { name: "x-forwarded-for", value: before === undefined ? address : `${before}, ${address}` },
  ];
}

/** How many segments of the path come before the function's own: the app may be mounted below a path of another one. */
function depthOf(context: Context, prefix: string): number {
  const route = routePath(context);
  const mount = route.slice(0, route.lastIndexOf(prefix));
  return `${mount}${prefix}`.split("/").length - 1;
}

/** The URL as the function sees it, each byte as the caller wrote it. */
function innerUrl(url: string, segments: number): string {
  const [, origin = "", path = "", query = ""] = /^([a-z]+:\/\/[^/?#]*)([^?#]*)([^#]*)/i.exec(url) ?? [];
  return `${origin}/${path
    .split("/")
    .slice(segments + 1)
    .join("/")}${query}`;
}
