import { registerHooks } from "node:module";

/** The name under which functions import the SDK. */
const SDK_NAME = "@firn/guest";

/**
 * Makes `import … from "@firn/guest"` and `require("@firn/guest")` of the function give the runtime's own copy: the app disk need
 * not carry one, and one that it carries cannot differ from the runtime.
 *
 * @param url URL of a loaded module that exports the SDK.
 */
export function provideSdk(url: string): void {
  registerHooks({
    resolve: (specifier, context, nextResolve) =>
      specifier === SDK_NAME
        ? { url, format: "module", shortCircuit: true }
        : nextResolve(specifier, context),
  });
}
