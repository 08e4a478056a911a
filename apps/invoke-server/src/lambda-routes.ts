import { randomUUID } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { type DeployInput, errorFields, type FunctionRecord } from "@firn/functions";
import { type Context, Hono } from "hono";
import { guardControl } from "./access/guards.ts";
import { EVENT_TYPES, JSON_TYPES, requireMediaType } from "./access/media-type.ts";
import type { Dependencies } from "./dependencies.ts";
import { parseFunctionName } from "./function-name.ts";
import { parseOrThrow } from "./function-routes.ts";
import {
  createSchema,
  functionConfiguration,
  splitHandler,
  updateCodeSchema,
} from "./lambda-configuration.ts";
import { functionFailureOf, oversizedResponse } from "./lambda-failure.ts";
import { DEPLOY_DEFAULTS } from "./limits.ts";
import { MAX_ARCHIVE_BYTES, MAX_PAYLOAD_BYTES, readBody } from "./request-body.ts";
import { ServiceError } from "./service-error.ts";
import { readInvokeOptions, setStartHeaders } from "./start-header.ts";

/** An archive in base64, and the rest of the JSON around it. */
const MAX_CREATE_BYTES = Math.ceil((MAX_ARCHIVE_BYTES * 4) / 3) + 64 * 1024;

/** The part of the AWS Lambda API that is spoken here; AWS clients reach it by an endpoint override. */
export function lambdaRoutes(dependencies: Dependencies) {
  const { host, access } = dependencies;
  return new Hono()
    .basePath("/2015-03-31")
    .use("*", guardControl(access))
    .get("/functions", (context) =>
      context.json({ Functions: host.catalog.list().map(functionConfiguration), NextMarker: null }),
    )
    .get("/functions/", (context) =>
      context.json({ Functions: host.catalog.list().map(functionConfiguration), NextMarker: null }),
    )
    .post("/functions", async (context) => {
      const body = parseOrThrow(createSchema, await readJson(context, MAX_CREATE_BYTES));
      const name = parseFunctionName(body.FunctionName);
      if (host.catalog.find(name)?.state === "Active") {
        throw new ServiceError("FIRN_FUNCTION_EXISTS", `Function already exists: ${name}`);
      }
      const record = await deployZip(dependencies, body.Code.ZipFile, {
        ...splitHandler(body.Handler),
        name,
        environment: body.Environment.Variables,
        memoryMib: body.MemorySize,
        timeoutMs: body.Timeout * 1000,
        readyTimeoutMs: DEPLOY_DEFAULTS.readyTimeoutMs,
      });
      return context.json(functionConfiguration(record), 201);
    })
    .put("/functions/:name/code", async (context) => {
      const { name } = requested(context);
      const { environment, memoryMib, timeoutMs, readyTimeoutMs, handler, wantedEntry } = host.newest(name);
      const body = parseOrThrow(updateCodeSchema, await readJson(context, MAX_CREATE_BYTES));
      const deployed = { name, environment, memoryMib, timeoutMs, readyTimeoutMs, handler };
      const settings = { ...deployed, entry: wantedEntry };
      return context.json(functionConfiguration(await deployZip(dependencies, body.ZipFile, settings)));
    })
    .get("/functions/:name", (context) => {
      const Configuration = functionConfiguration(requested(context));
      return context.json({ Configuration, Code: { RepositoryType: "Firn", Location: "" } });
    })
    .get("/functions/:name/configuration", (context) =>
      context.json(functionConfiguration(requested(context))),
    )
    .delete("/functions/:name", async (context) => {
      const { name } = requested(context);
      await host.remove(name);
      return context.body(null, 204);
    })
    .post("/functions/:name/invocations", (context) => {
      requireMediaType(context, EVENT_TYPES);
      return invokeEvent(dependencies, requested(context), context);
    });

  function requested(context: Context): FunctionRecord {
    return host.get(parseFunctionName(context.req.param("name") ?? "", context.req.query("Qualifier")));
  }
}

/** Puts the app into the store; the snapshot is made while the client polls the function's state, as AWS clients do. */
async function deployZip(
  { host, log }: Dependencies,
  zipBase64: string,
  settings: Omit<DeployInput, "source">,
): Promise<FunctionRecord> {
  const archive = host.store.temporaryPath("upload");
  try {
    await writeFile(archive, Buffer.from(zipBase64, "base64"), { flag: "wx" });
    const { record, active } = await host.deploy({ ...settings, source: { archive } });
    active.catch((error: unknown) =>
      log.warn({ ...errorFields(error), function: record.name }, "deploy failed"),
    );
    return record;
  } finally {
    await rm(archive, { force: true });
  }
}

async function invokeEvent(
  { invoker }: Dependencies,
  { name, timeoutMs }: FunctionRecord,
  context: Context,
): Promise<Response> {
  const type = context.req.header("x-amz-invocation-type") ?? "RequestResponse";
  if (type === "DryRun") return context.body(null, 204);
  if (type !== "RequestResponse") {
    throw new ServiceError(
      "FIRN_INVALID_REQUEST",
      `Invocation type ${type} is not supported: use RequestResponse.`,
    );
  }
  const body = await readBody(context.req.raw, MAX_PAYLOAD_BYTES);
  const payload = body.length === 0 ? new TextEncoder().encode("{}") : requireJson(body);
  const requestId = randomUUID();
  const headers = new Headers({
    "Content-Type": "application/json",
    "X-Amz-Executed-Version": "$LATEST",
    "x-amzn-RequestId": requestId,
  });
  try {
    const request = { requestId, timeoutMs, payload };
    const invocation = await invoker.invoke(name, request, readInvokeOptions(context));
    setStartHeaders(headers, invocation);
    const { response } = invocation;
    const answer = response.payload.length > MAX_PAYLOAD_BYTES ? oversizedResponse() : response;
    if (answer.functionError !== "") headers.set("X-Amz-Function-Error", answer.functionError);
    return new Response(answer.payload as Uint8Array<ArrayBuffer>, { status: 200, headers });
  } catch (error) {
    const failure = functionFailureOf(error, requestId, timeoutMs);
    if (failure === undefined) throw error;
    headers.set("X-Amz-Function-Error", failure.functionError);
    return new Response(failure.payload as Uint8Array<ArrayBuffer>, { status: 200, headers });
  }
}

function requireJson(body: Uint8Array): Uint8Array {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
    return body;
  } catch (cause) {
    throw new ServiceError(
      "FIRN_INVALID_REQUEST",
      `Could not parse request body into json: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}

async function readJson(context: Context, limit: number): Promise<unknown> {
  requireMediaType(context, JSON_TYPES);
  const body = await readBody(context.req.raw, limit);
  return JSON.parse(Buffer.from(requireJson(body)).toString("utf8"));
}
