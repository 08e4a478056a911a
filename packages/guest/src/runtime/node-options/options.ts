import dns from "node:dns";
import Module, { createRequire, registerHooks } from "node:module";
import net from "node:net";
import tls from "node:tls";
import { pathToFileURL } from "node:url";

/** An option that a process that runs already can heed. */
export interface HeededOption {
  /** Whether it has a value. */
  readonly hasValue: boolean;
  /**
   * Does what Node.js does when it starts with this option.
   *
   * @param root Folder of the function's files, which is the working directory.
   */
  apply(value: string, root: string): unknown;
}

const flag = (apply: () => unknown): HeededOption => ({ hasValue: false, apply });
const valued = (apply: (value: string, root: string) => unknown): HeededOption => ({ hasValue: true, apply });
/** What this Node.js does anyway. */
const asItIs = flag(() => {});

/** The options that are heeded, by name. */
export const HEEDED_OPTIONS: ReadonlyMap<string, HeededOption> = new Map<string, HeededOption>([
  ["--enable-source-maps", flag(() => process.setSourceMapsEnabled(true))],
  ["--import", valued(importFrom)],
  ["--require", valued((name, root) => createRequire(`${root}/`)(name))],
  ["-r", valued((name, root) => createRequire(`${root}/`)(name))],
  ["--experimental-loader", valued((name, root) => Module.register(name, pathToFileURL(`${root}/`)))],
  ["--loader", valued((name, root) => Module.register(name, pathToFileURL(`${root}/`)))],
  ["--stack-trace-limit", valued((limit) => (Error.stackTraceLimit = wholeNumber(limit)))],
  ["--no-warnings", flag(() => process.removeAllListeners("warning"))],
  ["--disable-warning", valued(disableWarning)],
  ["--no-deprecation", flag(() => (process.noDeprecation = true))],
  ["--throw-deprecation", flag(() => (process.throwDeprecation = true))],
  ["--trace-deprecation", flag(() => (process.traceDeprecation = true))],
  ["--trace-warnings", flag(() => Object.assign(process, { traceProcessWarnings: true }))],
  ["--dns-result-order", valued((order) => dns.setDefaultResultOrder(order as "ipv4first"))],
  ["--network-family-autoselection", flag(() => net.setDefaultAutoSelectFamily(true))],
  ["--no-network-family-autoselection", flag(() => net.setDefaultAutoSelectFamily(false))],
  [
    "--network-family-autoselection-attempt-timeout",
    valued((time) => net.setDefaultAutoSelectFamilyAttemptTimeout(wholeNumber(time))),
  ],
  ...["1.0", "1.1", "1.2", "1.3"].map((version): [string, HeededOption] => [
    `--tls-min-v${version}`,
    flag(() => (tls.DEFAULT_MIN_VERSION = `TLSv${version}` as tls.SecureVersion)),
  ]),
  ...["1.2", "1.3"].map((version): [string, HeededOption] => [
    `--tls-max-v${version}`,
    flag(() => (tls.DEFAULT_MAX_VERSION = `TLSv${version}` as tls.SecureVersion)),
  ]),
  ["--warnings", asItIs],
  ["--deprecation", asItIs],
  ["--experimental-detect-module", asItIs],
  ["--experimental-fetch", asItIs],
  ["--experimental-global-webcrypto", asItIs],
  ["--experimental-require-module", asItIs],
  ["--experimental-strip-types", asItIs],
  ["--experimental-websocket", asItIs],
  ["--require-module", asItIs],
]);

/** Imports a module as if a file in `root` did. */
async function importFrom(name: string, root: string): Promise<void> {
  const parentURL = pathToFileURL(`${root}/`).href;
  const isPath = name.startsWith("/") || name.startsWith("./") || name.startsWith("../");
  const hooks = registerHooks({
    resolve: (specifier, context, next) =>
      specifier === name && context.parentURL === import.meta.url
        ? next(specifier, { ...context, parentURL })
        : next(specifier, context),
  });
  try {
    await import(isPath ? new URL(name, parentURL).href : name);
  } finally {
    hooks.deregister();
  }
}

/** Keeps warnings of this code or type from being printed; `process.on("warning")` of the function gets them all the same. */
function disableWarning(codeOrType: string): void {
  for (const print of process.listeners("warning")) {
    process.off("warning", print);
    process.on("warning", (warning: Error & { readonly code?: string }) => {
      if (warning.code !== codeOrType && warning.name !== codeOrType) print(warning);
    });
  }
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`"${text}" is no whole number.`);
  return Number(text);
}
