import { FunctionError } from "./function-error.ts";

/** The part of an AWS Lambda context that handlers use. */
export interface HandlerContext {
  readonly awsRequestId: string;
  readonly functionName: string;
  readonly functionVersion: string;
  readonly invokedFunctionArn: string;
  readonly memoryLimitInMB: string;
  /** Aborted when the invocation is cancelled or has timed out. */
  readonly signal: AbortSignal;
  getRemainingTimeInMillis(): number;
}

/** What a function exports, whatever its shape. */
export type Handler =
  | { readonly shape: "fetch"; readonly fetch: (request: Request) => unknown }
  | { readonly shape: "event"; readonly handle: (event: unknown, context: HandlerContext) => unknown };

type Exports = Readonly<Record<string, unknown>>;

/**
 * Finds the handler among a module's exports.
 *
 * The name "default", or "", means: the default export, else an export called `handler`, else one called `fetch`. An object with a
 * `fetch` method (a Hono app, `export default { fetch }`) handles requests; a function handles events.
 *
 * @throws {FunctionError} FIRN_FUNCTION_IMPORT if there is none.
 */
export function findHandler(exports: Exports, name: string, entry: string): Handler {
  const unnamed = name === "" || name === "default";
  const handler = unnamed ? findUnnamed(exports) : asHandler(lookUp(exports, name));
  if (handler !== undefined) return handler;
  const wanted = unnamed
    ? "no handler: export a function or an object with a fetch method as default"
    : `no function or object with a fetch method called "${name}"`;
  const found = Object.keys(exports).filter((key) => key !== "module.exports");
  throw new FunctionError(
    "FIRN_FUNCTION_IMPORT",
    `${entry} exports ${wanted}. It exports: ${found.length > 0 ? found.join(", ") : "nothing"}.`,
  );
}

function findUnnamed(exports: Exports): Handler | undefined {
  return (
    asHandler(exports.default) ??
    // A CommonJS module that was compiled from an ES module.
    asHandler(asExports(exports.default)?.default) ??
    asHandler(lookUp(exports, "handler")) ??
    asHandler(exports)
  );
}

function lookUp(exports: Exports, name: string): unknown {
  return exports[name] ?? asExports(exports.default)?.[name];
}

function asExports(value: unknown): Exports | undefined {
  return typeof value === "object" && value !== null ? (value as Exports) : undefined;
}

function asHandler(value: unknown): Handler | undefined {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return undefined;
  const { fetch } = value as { fetch?: unknown };
  if (typeof fetch === "function") return { shape: "fetch", fetch: (request) => fetch.call(value, request) };
  if (typeof value !== "function") return undefined;
  return { shape: "event", handle: (event, context) => value.call(undefined, event, context) };
}
