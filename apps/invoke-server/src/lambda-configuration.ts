import type { FunctionRecord } from "@firn/functions";
import { z } from "zod";
import { environmentSchema } from "./function-routes.ts";
import { DEPLOY_DEFAULTS, MAX_TIMEOUT_MS } from "./limits.ts";

const code = z.looseObject({ ZipFile: z.base64() });

/** The body of CreateFunction. Fields of the AWS API that mean nothing here are accepted and ignored. */
export const createSchema = z.looseObject({
  FunctionName: z.string(),
  Code: code,
  Handler: z.string().min(1).max(128).default("index.default"),
  MemorySize: z.int().positive().default(DEPLOY_DEFAULTS.memoryMib),
  Timeout: z
    .int()
    .min(1)
    .max(MAX_TIMEOUT_MS / 1000)
    .default(DEPLOY_DEFAULTS.timeoutMs / 1000),
  Environment: z.looseObject({ Variables: environmentSchema.default({}) }).default({ Variables: {} }),
});

/** The body of UpdateFunctionCode. */
export const updateCodeSchema = code;

/** Splits Lambda's `folder/file.export.inner` at the first dot behind its last slash, as AWS does. */
export function splitHandler(handler: string): { entry: string; handler: string } {
  const dot = handler.indexOf(".", handler.lastIndexOf("/") + 2);
  if (dot <= 0) return { entry: handler, handler: DEPLOY_DEFAULTS.handler };
  return { entry: handler.slice(0, dot), handler: handler.slice(dot + 1) };
}

/** The configuration of a function in the words of the Lambda API. */
export function functionConfiguration(record: FunctionRecord): Record<string, unknown> {
  const {
    name,
    state,
    update,
    failure,
    entry,
    wantedEntry,
    handler,
    memoryMib,
    timeoutMs,
    updated,
    code,
    environment,
  } = record;
  const failed = failure === null ? {} : { reason: failure.message, code: failure.code };
  return {
    FunctionName: name,
    FunctionArn: `arn:aws:lambda:local:000000000000:function:${name}`,
    Runtime: "nodejs24.x",
    Handler: `${wantedEntry ?? entry.replace(/\.[^./]+$/, "")}.${handler}`,
    CodeSize: code.size,
    CodeSha256: Buffer.from(code.digest.slice("sha256:".length), "hex").toString("base64"),
    MemorySize: memoryMib,
    Timeout: Math.ceil(timeoutMs / 1000),
    LastModified: updated,
    Version: "$LATEST",
    PackageType: "Zip",
    Architectures: ["arm64"],
    Environment: { Variables: environment },
    SnapStart: { ApplyOn: "None", OptimizationStatus: "Off" },
    State: state,
    ...(state === "Failed" ? { StateReason: failed.reason, StateReasonCode: failed.code } : {}),
    ...(state === "Active"
      ? {
          LastUpdateStatus: update,
          ...(failure === null
            ? {}
            : { LastUpdateStatusReason: failed.reason, LastUpdateStatusReasonCode: failed.code }),
        }
      : {}),
  };
}
