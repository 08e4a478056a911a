import type { InvokeRequest } from "@firn/snapshots";
import { z } from "zod";
import { FunctionsError } from "../errors.ts";

const MAX_SAMPLES = 8;
/** Catalog entries stay small. */
const MAX_SAMPLES_BYTES = 256 * 1024;
const ORIGIN = "http://localhost";

const sampleSchema = z.union([
  z.strictObject({
    /** The event of a handler, any JSON. */
    event: z.json(),
  }),
  z.strictObject({
    /** A request for a fetch handler, or for a handler as Lambda's function URLs send it. */
    http: z.strictObject({
      method: z
        .string()
        .regex(/^[A-Z]+$/)
        .default("GET"),
      /** Path and query. */
      path: z.string().regex(/^\//, "must begin with a slash").default("/"),
      headers: z.record(z.string(), z.string()).default({}),
      body: z.string().default(""),
    }),
  }),
]);

/** A request that stands for those a function will get. */
export type Sample = z.infer<typeof sampleSchema>;

const samplesSchema = z
  .array(sampleSchema)
  .max(MAX_SAMPLES, `are at most ${MAX_SAMPLES}`)
  .refine((samples) => JSON.stringify(samples).length <= MAX_SAMPLES_BYTES, {
    error: `are longer than ${MAX_SAMPLES_BYTES} bytes`,
  });

/**
 * Reads the samples out of a parsed package.json: the list `firn.samples`.
 *
 * @throws {FunctionsError} FIRN_APP_INVALID naming the first one that is wrong.
 */
export function readSamples(packageJson: unknown): Sample[] {
  const samples = (packageJson as { firn?: { samples?: unknown } } | null)?.firn?.samples;
  if (samples === undefined) return [];
  const result = samplesSchema.safeParse(samples);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = ["firn.samples", ...(issue?.path ?? [])].join(".");
  throw new FunctionsError(
    "FIRN_APP_INVALID",
    `${where} in the app's package.json: ${issue?.message}. A sample is { "event": … } or { "http": { "path": "/…" } }.`,
  );
}

/** The request that a sample stands for. */
export function sampleRequest(
  sample: Sample,
  options: { requestId: string; timeoutMs: number },
): InvokeRequest {
  const call = { ...options, rehearsal: true };
  if ("event" in sample) return { ...call, payload: Buffer.from(JSON.stringify(sample.event)) };
  const { method, path, headers, body } = sample.http;
  return {
    ...call,
    payload: Buffer.from(body),
    http: {
      method,
      url: new URL(path, ORIGIN).href,
      headers: Object.entries(headers).map(([name, value]) => ({ name, value })),
    },
  };
}
