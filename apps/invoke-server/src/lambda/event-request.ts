import { randomUUID } from "node:crypto";
import type { FunctionHost, FunctionRecord } from "@firn/functions";
import type { InvokeRequest } from "@firn/snapshots";
import type { Context } from "hono";
import { EVENT_TYPES, requireMediaType } from "../access/media-type.ts";
import { MAX_PAYLOAD_BYTES, readBody } from "../request-body.ts";
import { ServiceError } from "../service-error.ts";
import { readClientContext } from "./client-context.ts";

/** An invocation as a client of the Lambda API asks for it. */
export interface EventRequest {
  /** The function that is invoked. */
  readonly record: FunctionRecord;
  readonly request: InvokeRequest;
  /** Whether nothing is to be done but the checks. */
  readonly isDryRun: boolean;
  /** Whether the end of the log goes with the answer. */
  readonly wantsLog: boolean;
}

/**
 * Reads an invocation.
 *
 * @throws {ServiceError} saying what of it is wrong or not supported.
 * @throws {FunctionsError} if there is no such function.
 */
export async function readEventRequest(
  host: FunctionHost,
  name: string,
  context: Context,
): Promise<EventRequest> {
  requireMediaType(context, EVENT_TYPES);
  const record = host.get(name);
  const type = context.req.header("x-amz-invocation-type") ?? "RequestResponse";
  const wantsLog = readLogType(context.req.header("x-amz-log-type"));
  const clientContext = readClientContext(context.req.header("x-amz-client-context"));
  const traceId = context.req.header("x-amzn-trace-id");
  requireKnownType(type);
  const body = await readBody(context.req.raw, MAX_PAYLOAD_BYTES);
  const payload = body.length === 0 ? new TextEncoder().encode("{}") : requireJson(body);
  const request = {
    requestId: randomUUID(),
    timeoutMs: record.timeoutMs,
    payload,
    ...(clientContext === undefined ? {} : { clientContext }),
    ...(traceId === undefined ? {} : { traceId }),
  };
  return { record, request, isDryRun: type === "DryRun", wantsLog };
}

/** The headers of every answer to an invocation. */
export function invocationHeaders(contentType: string, requestId: string): Headers {
  return new Headers({
    "Content-Type": contentType,
    "X-Amz-Executed-Version": "$LATEST",
    "x-amzn-RequestId": requestId,
  });
}

function requireKnownType(type: string): void {
  if (type === "RequestResponse" || type === "DryRun") return;
  const what =
    type === "Event"
      ? "Asynchronous invocation (X-Amz-Invocation-Type: Event) is not supported yet: use RequestResponse."
      : "X-Amz-Invocation-Type is RequestResponse or DryRun.";
  throw new ServiceError("FIRN_NOT_SUPPORTED", what);
}

function readLogType(type: string | undefined): boolean {
  if (type === undefined || type === "" || type === "None") return false;
  if (type === "Tail") return true;
  throw new ServiceError("FIRN_INVALID_REQUEST", "X-Amz-Log-Type is None or Tail.");
}

/** The event as the function gets it: JSON in UTF-8, without the byte order mark that some programs put before it. */
function requireJson(body: Uint8Array): Uint8Array {
  const hasMark = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf;
  const event = hasMark ? body.subarray(3) : body;
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(event));
    return event;
  } catch (cause) {
    throw new ServiceError(
      "FIRN_INVALID_REQUEST",
      `Could not parse request body into json: ${(cause as Error).message}`,
      { cause },
    );
  }
}
