import { rm } from "node:fs/promises";
import { readServer } from "@firn/functions";
import { Hono } from "hono";
import { z } from "zod";
import { guardControl } from "./access/guards.ts";
import { ARCHIVE_TYPES, requireMediaType } from "./access/media-type.ts";
import type { Dependencies } from "./dependencies.ts";
import { parseFunctionName } from "./function-name.ts";
import { viewFunction, viewSnapshot } from "./function-view.ts";
import { DEPLOY_DEFAULTS, MAX_ENVIRONMENT_BYTES, MAX_TIMEOUT_MS } from "./limits.ts";
import { MAX_ARCHIVE_BYTES, saveBody } from "./request-body.ts";
import { ServiceError } from "./service-error.ts";

const querySchema = z.strictObject({
  /** Module to import; by default package.json's `main`, else `index`. */
  entry: z.string().min(1).max(1024).optional(),
  /** Name of the runtime, such as node22. */
  runtime: z.string().min(1).max(64).optional(),
  /** Name of the export. */
  handler: z.string().min(1).max(128).default(DEPLOY_DEFAULTS.handler),
  memoryMib: z.coerce.number().int().positive().default(DEPLOY_DEFAULTS.memoryMib),
  timeoutMs: z.coerce.number().int().min(1).max(MAX_TIMEOUT_MS).default(DEPLOY_DEFAULTS.timeoutMs),
  /** Whether the samples are answered before the snapshot, until they get no faster; by default what package.json says. */
  warm: z
    .enum(["true", "false"])
    .transform((text) => text === "true")
    .optional(),
  /** An HTTP server's program and arguments, a list in JSON; by default what package.json says. */
  command: z.string().max(16_384).optional(),
  /** The port at which it listens. */
  port: z.coerce.number().int().min(1).max(65_535).optional(),
  readyTimeoutMs: z.coerce.number().int().min(1).max(MAX_TIMEOUT_MS).default(DEPLOY_DEFAULTS.readyTimeoutMs),
});

/** Firn's own control routes: `GET /functions`, `GET | PUT | DELETE /functions/{name}`. */
export function functionRoutes(dependencies: Dependencies) {
  const { host, access } = dependencies;
  return new Hono()
    .use("/functions", guardControl(access))
    .use("/functions/*", guardControl(access))
    .get("/functions", (context) => context.json({ functions: host.catalog.list().map(viewFunction) }))
    .get("/functions/:name", async (context) => {
      const record = host.get(parseFunctionName(context.req.param("name")));
      return context.json({ ...viewFunction(record), snapshot: await viewSnapshot(host.store, record) });
    })
    .put("/functions/:name", async (context) => {
      const name = parseFunctionName(context.req.param("name"));
      requireMediaType(context, ARCHIVE_TYPES);
      const { command, port, ...settings } = parseOrThrow(querySchema, readQuery(context.req.url));
      const server = readServer("", parseCommand(command), port);
      const environment = readEnvironment(context.req.header("x-firn-environment"));
      const isNew = host.catalog.find(name) === undefined;
      const archive = host.store.temporaryPath("upload");
      try {
        await saveBody(context.req.raw, archive, MAX_ARCHIVE_BYTES);
        const { active } = await host.deploy({ ...settings, server, name, environment, source: { archive } });
        const record = await active;
        const view = { ...viewFunction(record), snapshot: await viewSnapshot(host.store, record) };
        return context.json(view, isNew ? 201 : 200);
      } finally {
        await rm(archive, { force: true });
      }
    })
    .delete("/functions/:name", async (context) => {
      const name = parseFunctionName(context.req.param("name"));
      await host.remove(name);
      return context.body(null, 204);
    });
}

/** What is no list in JSON is found out by who reads it. */
function parseCommand(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * Checks a value against a schema.
 *
 * @throws {ServiceError} FIRN_INVALID_REQUEST naming the first field that is wrong.
 */
export function parseOrThrow<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = issue?.path.join(".") ?? "";
  throw new ServiceError("FIRN_INVALID_REQUEST", `${where === "" ? "Request" : where}: ${issue?.message}.`);
}

/** The query's parameters, each once. @throws {ServiceError} FIRN_INVALID_REQUEST. */
function readQuery(url: string): Record<string, string> {
  const entries = [...new URL(url).searchParams];
  const twice = entries.find(([name], index) => entries.findIndex(([other]) => other === name) !== index);
  if (twice === undefined) return Object.fromEntries(entries);
  throw new ServiceError("FIRN_INVALID_REQUEST", `${twice[0]} is given twice.`);
}

/** The function's environment is in a header, not in the URL: URLs are logged on the way. */
function readEnvironment(header: string | undefined): Record<string, string> {
  if (header === undefined) return {};
  if (Buffer.byteLength(header) > 2 * MAX_ENVIRONMENT_BYTES) {
    throw new ServiceError(
      "FIRN_INVALID_REQUEST",
      `X-Firn-Environment is longer than ${MAX_ENVIRONMENT_BYTES} bytes.`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(header, "base64").toString("utf8"));
  } catch (cause) {
    throw new ServiceError("FIRN_INVALID_REQUEST", "X-Firn-Environment is not a JSON object in base64.", {
      cause,
    });
  }
  return parseOrThrow(environmentSchema, value);
}

/** Environment variables, 4 KiB together. */
export const environmentSchema = z
  // A record of zod leaves this name out without a word.
  .custom<Record<string, string>>((variables) => !Object.hasOwn(Object(variables), "__proto__"), {
    error: "__proto__ is no name of an environment variable",
  })
  .pipe(
    z.record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "is no name of an environment variable"),
      z.string(),
    ),
  )
  .refine((variables) => Buffer.byteLength(JSON.stringify(variables)) <= MAX_ENVIRONMENT_BYTES, {
    error: `environment is larger than ${MAX_ENVIRONMENT_BYTES} bytes`,
  });
