import { randomBytes } from "node:crypto";
import Module from "node:module";
import { parse } from "node:path";
import type { LoadFunction } from "@firn/protocol";
import { logText } from "../errors/log.ts";
import { refuseVariable } from "../node-options/variables.ts";
import { missedAtImport } from "./early-reads.ts";

/** Where functions run, as far as the AWS SDKs and the names of functions are concerned. */
export const REGION = "local";

/** Sets what functions written for AWS Lambda look for; what the function's own settings name stays theirs. */
export function setLambdaEnvironment(load: LoadFunction, root: string, runtimeFolder: string): void {
  const { AWS_REGION: region, AWS_DEFAULT_REGION: defaultRegion } = load.environment;
  const [major] = process.versions.node.split(".");
  Object.assign(process.env, {
    AWS_REGION: region ?? defaultRegion ?? REGION,
    AWS_DEFAULT_REGION: defaultRegion ?? region ?? REGION,
    AWS_EXECUTION_ENV: `AWS_Lambda_nodejs${major}.x`,
    AWS_LAMBDA_FUNCTION_NAME: load.functionName,
    AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(load.memoryMib),
    AWS_LAMBDA_INITIALIZATION_TYPE: "snap-start",
    AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${load.functionName}`,
    LAMBDA_TASK_ROOT: root,
    LAMBDA_RUNTIME_DIR: runtimeFolder,
    LANG: process.env.LANG ?? "en_US.UTF-8",
    NODE_PATH: `/opt/nodejs/node_modules:${root}`,
    TZ: ":UTC",
    _HANDLER: handlerName(load, load.handler || "handler"),
  });
  nameLogStream();
  applyEnvironment(load.environment);
}

/**
 * Sets variables of the function in a process that has loaded it, for example those of a clone, before its after-restore hooks run.
 * Those that Node.js reads only when it starts are set, too, and the log says that they have no effect.
 */
export function applyLateEnvironment(environment: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(environment)) {
    const refusal = process.env[name] === value ? undefined : refuseVariable(name, value);
    if (refusal !== undefined) logText(`Warning: ${refusal}`);
  }
  const missed = missedAtImport(Object.keys(environment));
  if (missed.length > 0) {
    logText(
      `Warning: ${missed.join(", ")}: read while the module was imported, and not there yet, for the environment comes with each start. ` +
        'Read it in the handler or in afterRestore(), or set "firn": { "snapshotEnvironment": true } in package.json.',
    );
  }
  applyEnvironment(environment);
}

function applyEnvironment(environment: Readonly<Record<string, string>>): void {
  Object.assign(process.env, environment);
  // Node.js has read it when it started.
  (Module as unknown as { _initPaths(): void })._initPaths();
}

/** Draws a new name for what this process logs: each clone has its own. */
export function nameLogStream(): void {
  const day = new Date().toISOString().slice(0, 10).replaceAll("-", "/");
  const version = process.env.AWS_LAMBDA_FUNCTION_VERSION ?? "$LATEST";
  process.env.AWS_LAMBDA_LOG_STREAM_NAME = `${day}/[${version}]${randomBytes(16).toString("hex")}`;
}

/** How AWS Lambda names a handler: its file without the extension, and the export. */
export function handlerName(load: LoadFunction, name: string): string {
  const { dir, name: file } = parse(load.entry);
  return `${dir === "" ? "" : `${dir}/`}${file}.${name}`;
}
