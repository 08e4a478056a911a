import type { HandlerCallback, HandlerContext } from "../context.ts";
import { FunctionError } from "./function-error.ts";
import { type StreamingHandler, streamingOf } from "./lambda/streaming.ts";

/** A handler of events, with the callback of older AWS Lambda functions. */
export type EventHandler = (event: unknown, context: HandlerContext, callback: HandlerCallback) => unknown;

/** A handler of requests, with what Workers give it: the environment, and a context. */
export type FetchHandler = (
  request: Request,
  environment: NodeJS.ProcessEnv,
  context: HandlerContext,
) => unknown;

/** What a function exports, whatever its shape. */
export type Handler =
  | { readonly shape: "fetch"; readonly name: string; readonly fetch: FetchHandler }
  | {
      readonly shape: "streaming";
      readonly name: string;
      readonly handle: StreamingHandler;
      /** Of its response stream, in bytes. */
      readonly highWaterMark: number | undefined;
    }
  | {
      readonly shape: "event";
      readonly name: string;
      readonly handle: EventHandler;
      /** How many parameters it has: one of three waits for its callback. */
      readonly parameters: number;
      /** Whether it may just as well be a fetch handler: a bare default export, which nothing but its result tells apart. */
      readonly isBareDefault: boolean;
    };

type Exports = Readonly<Record<string, unknown>>;

/**
 * Finds the handler among a module's exports.
 *
 * The name "default", or "", means: the default export, else an export called `handler`, else one called `fetch`. A name with dots,
 * such as "api.users.list", goes through exported objects. An object with a `fetch` method (a Hono app, `export default { fetch }`)
 * handles requests; a function handles events.
 *
 * @throws {FunctionError} FIRN_FUNCTION_IMPORT if there is none.
 */
export function findHandler(exports: Exports, name: string, entry: string): Handler {
  const unnamed = name === "" || name === "default";
  const handler = unnamed ? findUnnamed(exports) : findNamed(exports, name);
  if (handler !== undefined) return handler;
  const wanted = unnamed
    ? "no handler: export a function or an object with a fetch method as default"
    : `no function or object with a fetch method called "${name}"`;
  throw new FunctionError(
    "FIRN_FUNCTION_IMPORT",
    `${entry} exports ${wanted}. ${describeExports(exports, name)}`,
  );
}

function findUnnamed(exports: Exports): Handler | undefined {
  return (
    asHandler(exports.default, "default", true) ??
    // A CommonJS module that was compiled from an ES module.
    asHandler(lookUp(exports.default, "default"), "default", true) ??
    findNamed(exports, "handler") ??
    asHandler(exports, "default", false)
  );
}

function findNamed(exports: Exports, name: string): Handler | undefined {
  for (const from of [exports, exports.default]) {
    const whole = asHandler(lookUp(from, name), name, false);
    if (whole !== undefined) return whole;
    const path = name.split(".");
    const last = path.pop() ?? "";
    const owner = path.reduce(lookUp, from);
    const nested = path.length === 0 ? undefined : asHandler(lookUp(owner, last), name, false, owner);
    if (nested !== undefined) return nested;
  }
  return undefined;
}

/** A property of an object or a function, unless it is one that every object or function has. */
function lookUp(owner: unknown, key: string): unknown {
  if ((typeof owner !== "object" && typeof owner !== "function") || owner === null) return undefined;
  const value = (owner as Exports)[key];
  const common = Object.hasOwn(Object.prototype, key) || Object.hasOwn(Function.prototype, key);
  return common && !Object.hasOwn(owner, key) ? undefined : value;
}

function asHandler(
  value: unknown,
  name: string,
  isBareDefault: boolean,
  owner?: unknown,
): Handler | undefined {
  const fetch = lookUp(value, "fetch");
  if (typeof fetch === "function")
    return { shape: "fetch", name, fetch: (...all) => fetch.call(value, ...all) };
  if (typeof value !== "function") return undefined;
  const streaming = streamingOf(value);
  if (streaming !== undefined) {
    return { shape: "streaming", name, handle: (...all) => value.call(owner, ...all), ...streaming };
  }
  const handle: EventHandler = (event, context, callback) => value.call(owner, event, context, callback);
  return { shape: "event", name, handle, parameters: value.length, isBareDefault };
}

function describeExports(exports: Exports, name: string): string {
  // As far as the name's path leads.
  let [at, owner]: [string, unknown] = ["It", exports];
  for (const key of name.split(".").slice(0, -1)) {
    const below = lookUp(owner, key) ?? (owner === exports ? lookUp(exports.default, key) : undefined);
    if (typeof below !== "object" || below === null) break;
    [at, owner] = [at === "It" ? key : `${at}.${key}`, below];
  }
  const found = namesOf(owner);
  if (at !== "It") return `Its export ${at} has: ${found}.`;
  const inside = asObject(exports.default);
  return `It exports: ${found}.${inside === undefined ? "" : ` Its default export has: ${namesOf(inside)}.`}`;
}

function namesOf(owner: unknown): string {
  const names = Object.keys(owner as object).filter((key) => key !== "module.exports");
  return names.length > 0 ? names.join(", ") : "nothing";
}

function asObject(value: unknown): object | undefined {
  return typeof value === "object" && value !== null ? value : undefined;
}
