import { existsSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";
import { LIFECYCLE } from "../lifecycle.ts";
import { loadAddon } from "./addon.ts";
import { takeRuntimeArguments } from "./arguments.ts";
import { hideCollector } from "./collect-garbage.ts";
import { FunctionRuntime } from "./function-runtime.ts";
import { installStreaming } from "./lambda/streaming.ts";
import { LogPipe } from "./log-pipe.ts";
import { provideSdk } from "./sdk-resolution.ts";
import { GENERATION_FILE, makeChildUnique } from "./uniqueness/child-process.ts";
import { makeWorkerUnique } from "./uniqueness/workers.ts";

// This module is the program, what a function gets when it imports "@firn/guest", and what each worker thread and each forked process
// imports first.
export * from "../index.ts";

provideSdk(import.meta.url);
if (!isMainThread) {
  makeWorkerUnique();
} else if (!isProgram()) {
  const { FIRN_ADDON: path, FIRN_GENERATION_FILE: file = GENERATION_FILE } = process.env;
  makeChildUnique(() => loadAddon(path), file);
} else {
  const { bridge, gate, log, root, addon: path } = takeRuntimeArguments();
  const addon = loadAddon(path);
  // They are the runtime's alone: a child process that had them could outlive it, or read what is meant for it.
  for (const descriptor of [bridge, gate, log]) if (descriptor !== undefined) addon.closeOnExec(descriptor);
  const runtime = new FunctionRuntime(bridge, gate, root, addon, import.meta.url);
  Object.defineProperty(globalThis, LIFECYCLE, { value: runtime.hooks });
  if (log !== undefined) new LogPipe(log, runtime.currentInvocation).install();
  installStreaming();
  hideCollector();
  runtime.start();
}

/** Whether this module is what Node.js was started with. */
function isProgram(): boolean {
  const [, program] = process.argv;
  return (
    program !== undefined && existsSync(program) && realpathSync(program) === fileURLToPath(import.meta.url)
  );
}
