import { LIFECYCLE } from "../lifecycle.ts";
import { loadAddon } from "./addon.ts";
import { parseRuntimeArguments } from "./arguments.ts";
import { FunctionRuntime } from "./function-runtime.ts";
import { provideSdk } from "./sdk-resolution.ts";

// This module is the program, and also what a function gets when it imports "@firn/guest".
export * from "../index.ts";

const { bridge, gate, root, addon } = parseRuntimeArguments(process.argv.slice(2));
const runtime = new FunctionRuntime(bridge, gate, root, loadAddon(addon));
Object.defineProperty(globalThis, LIFECYCLE, { value: runtime.hooks });
provideSdk(import.meta.url);
runtime.start();
