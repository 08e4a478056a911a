import { rm } from "node:fs/promises";
import { type DeployInput, errorFields, type FunctionRecord, type FunctionRuntime } from "@firn/functions";
import type { Context } from "hono";
import type { z } from "zod";
import { JSON_TYPES, requireMediaType } from "../access/media-type.ts";
import type { Dependencies } from "../dependencies.ts";
import { parseFunctionName } from "../function-name.ts";
import { parseOrThrow } from "../function-routes.ts";
import { DEPLOY_DEFAULTS } from "../limits.ts";
import { ServiceError } from "../service-error.ts";
import { readAnnotations, writeAnnotations } from "./annotations.ts";
import { readCodeBody } from "./code-body.ts";
import { functionConfiguration, revisionId } from "./configuration.ts";
import { splitHandler } from "./handler-name.ts";
import { createSchema, updateCodeSchema } from "./input.ts";
import { withoutUnsupported } from "./unsupported.ts";

/** AWS's limit for what comes out of an archive: 250 MiB. Firn's own route has a limit of its own. */
const LIMITS = { maxBytes: 250 * 1024 * 1024, maxEntries: 100_000 };

/** CreateFunction: answers when the archive is in the store. The snapshot is made while the client polls the function's state. */
export async function createFunction(dependencies: Dependencies, context: Context): Promise<Response> {
  const { host } = dependencies;
  return withCode(dependencies, context, "Code.ZipFile", async (fields, archive) => {
    const { Code, ...others } = (fields ?? {}) as { Code?: unknown };
    const supported = { Code: withoutUnsupported(Code), ...(withoutUnsupported(others) as object) };
    const body = parseOrThrow(createSchema, supported);
    const name = parseFunctionName(body.FunctionName);
    if (host.catalog.find(name)?.state === "Active") {
      throw new ServiceError("FIRN_FUNCTION_EXISTS", `Function already exists: ${name}`);
    }
    const { Runtime, Role, Description, Tags, SnapStart } = body;
    const input = {
      runtime: Runtime,
      ...handlerOf(body.Handler, host.runtimes.get(Runtime)),
      name,
      environment: body.Environment.Variables,
      memoryMib: body.MemorySize,
      timeoutMs: body.Timeout * 1000,
      readyTimeoutMs: DEPLOY_DEFAULTS.readyTimeoutMs,
      annotations: writeAnnotations({ Runtime, Role, Description, Tags, SnapStart }),
    };
    const record = await deploy(dependencies, input, archive, body);
    return context.json(functionConfiguration(record, host.runtimes), 201);
  });
}

/** What a program that its runtime starts is called is for it alone to understand; others have a module and an export. */
function handlerOf(name: string | undefined, { programs, defaultHandler }: FunctionRuntime) {
  if (programs.length > 0) return { handler: name ?? defaultHandler };
  return name === undefined ? { handler: DEPLOY_DEFAULTS.handler } : splitHandler(name);
}

/** UpdateFunctionCode: the version before serves until the snapshot of the new one is there. */
export async function updateFunctionCode(
  dependencies: Dependencies,
  context: Context,
  newest: FunctionRecord,
): Promise<Response> {
  return withCode(dependencies, context, "ZipFile", async (fields, archive) => {
    const body = parseOrThrow(updateCodeSchema, withoutUnsupported(fields));
    if (body.RevisionId !== undefined && body.RevisionId !== revisionId(newest)) {
      throw new ServiceError(
        "FIRN_REVISION_MISMATCH",
        `Function ${newest.name} has another revision than ${body.RevisionId}: somebody has updated it. Read it again.`,
      );
    }
    const { name, environment, memoryMib, timeoutMs, readyTimeoutMs, handler, runtime, wantedEntry } = newest;
    const annotations = writeAnnotations(readAnnotations(newest.annotations));
    const settings = {
      name,
      environment,
      memoryMib,
      timeoutMs,
      readyTimeoutMs,
      handler,
      runtime,
      annotations,
    };
    const input = { ...settings, entry: wantedEntry, warm: newest.wantedWarm, server: newest.wantedServer };
    const record = await deploy(dependencies, input, archive, body);
    return context.json(functionConfiguration(record, dependencies.host.runtimes));
  });
}

async function withCode(
  { host }: Dependencies,
  context: Context,
  zipPath: string,
  use: (fields: unknown, archive: string) => Promise<Response>,
): Promise<Response> {
  requireMediaType(context, JSON_TYPES);
  const archive = host.store.temporaryPath("upload");
  try {
    const { fields, hasZip } = await readCodeBody(context.req.raw, zipPath, archive);
    // What is refused by name comes first: it is often why there is no archive.
    return await use(fields, hasZip ? archive : "");
  } finally {
    await rm(archive, { force: true });
  }
}

async function deploy(
  { host, log }: Dependencies,
  settings: Omit<DeployInput, "source">,
  archive: string,
  { DryRun }: Pick<z.infer<typeof updateCodeSchema>, "DryRun">,
): Promise<FunctionRecord> {
  if (archive === "") {
    throw new ServiceError("FIRN_INVALID_REQUEST", "ZipFile: there is no archive in the request.");
  }
  const input = { ...settings, source: { archive }, limits: LIMITS };
  if (DryRun) return host.check(input);
  const { record, active } = await host.deploy(input);
  active.catch((error: unknown) =>
    log.warn({ ...errorFields(error), function: record.name }, "deploy failed"),
  );
  return record;
}
