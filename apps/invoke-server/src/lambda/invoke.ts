import { randomUUID } from "node:crypto";
import type { FunctionRecord, Invocation } from "@firn/functions";
import type { Context } from "hono";
import { EVENT_TYPES, requireMediaType } from "../access/media-type.ts";
import type { Dependencies } from "../dependencies.ts";
import { MAX_PAYLOAD_BYTES, readBody } from "../request-body.ts";
import { ServiceError } from "../service-error.ts";
import { readInvokeOptions, setStartHeaders } from "../start-header.ts";
import { readClientContext } from "./client-context.ts";
import { functionFailureOf, oversizedResponse } from "./failure.ts";
import { LogTail } from "./log-tail.ts";

/** Invoke: an error of the function is 200 with `X-Amz-Function-Error`, as AWS answers. */
export async function invokeEvent(
  { host, invoker }: Dependencies,
  name: string,
  context: Context,
): Promise<Response> {
  requireMediaType(context, EVENT_TYPES);
  const record = host.get(name);
  const type = context.req.header("x-amz-invocation-type") ?? "RequestResponse";
  const tail = wantsLog(context.req.header("x-amz-log-type"));
  const clientContext = readClientContext(context.req.header("x-amz-client-context"));
  const traceId = context.req.header("x-amzn-trace-id");
  requireKnownType(type);
  const body = await readBody(context.req.raw, MAX_PAYLOAD_BYTES);
  const payload = body.length === 0 ? new TextEncoder().encode("{}") : requireJson(body);
  if (type === "DryRun") return context.body(null, 204);
  const requestId = randomUUID();
  const headers = new Headers({
    "Content-Type": "application/json",
    "X-Amz-Executed-Version": "$LATEST",
    "x-amzn-RequestId": requestId,
  });
  const log = new LogTail(requestId);
  const began = performance.now();
  const end = (functionError: string, bytes: Uint8Array, invocation?: Invocation) => {
    if (functionError !== "") headers.set("X-Amz-Function-Error", functionError);
    if (tail) headers.set("X-Amz-Log-Result", log.end(reportOf(record, began, invocation)));
    return new Response(bytes as Uint8Array<ArrayBuffer>, { status: 200, headers });
  };
  try {
    const request = {
      requestId,
      timeoutMs: record.timeoutMs,
      payload,
      ...(clientContext === undefined ? {} : { clientContext }),
      ...(traceId === undefined ? {} : { traceId }),
    };
    const options = { ...readInvokeOptions(context), onLog: (line: LogLine) => log.add(line) };
    const invocation = await invoker.invoke(name, request, options);
    setStartHeaders(headers, invocation);
    const { response } = invocation;
    const answer = response.payload.length > MAX_PAYLOAD_BYTES ? oversizedResponse() : response;
    return end(answer.functionError, answer.payload, invocation);
  } catch (error) {
    const failure = functionFailureOf(error, requestId, record.timeoutMs);
    if (failure === undefined) throw error;
    return end(failure.functionError, failure.payload);
  }
}

type LogLine = Parameters<LogTail["add"]>[0];

function requireKnownType(type: string): void {
  if (type === "RequestResponse" || type === "DryRun") return;
  const what =
    type === "Event"
      ? "Asynchronous invocation (X-Amz-Invocation-Type: Event) is not supported yet: use RequestResponse."
      : "X-Amz-Invocation-Type is RequestResponse or DryRun.";
  throw new ServiceError("FIRN_NOT_SUPPORTED", what);
}

function wantsLog(type: string | undefined): boolean {
  if (type === undefined || type === "" || type === "None") return false;
  if (type === "Tail") return true;
  throw new ServiceError("FIRN_INVALID_REQUEST", "X-Amz-Log-Type is None or Tail.");
}

function reportOf({ memoryMib }: FunctionRecord, began: number, invocation: Invocation | undefined) {
  const total = performance.now() - began;
  const known = invocation?.response.report;
  const durationMs = known?.durationMs ?? total;
  const report = { durationMs, memoryMib, maxMemoryMib: known?.maxMemoryUsedMib || undefined };
  if (invocation === undefined || invocation.start === "warm") return report;
  const kind = invocation.start === "cold" ? ("Restore" as const) : ("Init" as const);
  return { ...report, start: { kind, milliseconds: Math.max(0, total - durationMs) } };
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
