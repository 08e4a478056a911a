import { z } from "zod";
import { environmentSchema } from "../function-routes.ts";
import { DEPLOY_DEFAULTS, MAX_TIMEOUT_MS } from "../limits.ts";

const description = z.string().max(256);
const code = {
  ZipFile: z.string().optional(),
  DryRun: z.boolean().default(false),
};

/** The body of CreateFunction, without what is not supported. `Role` and the like mean nothing here and are given back. */
export const createSchema = z.strictObject({
  FunctionName: z.string(),
  Code: z.strictObject({ ZipFile: code.ZipFile }),
  DryRun: code.DryRun,
  Runtime: z.string().max(64).optional(),
  Handler: z.string().min(1).max(128).regex(/^\S+$/, "has a space in it").optional(),
  MemorySize: z.int().positive().default(DEPLOY_DEFAULTS.memoryMib),
  Timeout: z
    .int()
    .min(1)
    .max(MAX_TIMEOUT_MS / 1000)
    .default(DEPLOY_DEFAULTS.timeoutMs / 1000),
  Environment: z.strictObject({ Variables: environmentSchema.default({}) }).default({ Variables: {} }),
  Role: z.string().max(2048).optional(),
  Description: description.optional(),
  Tags: z.record(z.string().min(1).max(128), z.string().max(256)).optional(),
  SnapStart: z.strictObject({ ApplyOn: z.enum(["None", "PublishedVersions"]).optional() }).optional(),
});

/** The body of UpdateFunctionCode, without what is not supported. */
export const updateCodeSchema = z.strictObject({
  ...code,
  FunctionName: z.string().optional(),
  RevisionId: z.string().optional(),
});
