import type { Invocation } from "@firn/functions";
import type { Context } from "hono";
import type { Dependencies } from "../dependencies.ts";
import { MAX_PAYLOAD_BYTES } from "../request-body.ts";
import { readInvokeOptions, setStartHeaders } from "../start-header.ts";
import { invocationHeaders, readEventRequest } from "./event-request.ts";
import { functionFailureOf, oversizedResponse } from "./failure.ts";
import { LogTail } from "./log-tail.ts";
import { reportFor } from "./report.ts";

/** Invoke: an error of the function is 200 with `X-Amz-Function-Error`, as AWS answers. It goes on when its caller has gone. */
export async function invokeEvent(
  { host, invoker }: Dependencies,
  name: string,
  context: Context,
): Promise<Response> {
  const { record, request, isDryRun, wantsLog } = await readEventRequest(host, name, context);
  if (isDryRun) return context.body(null, 204);
  const { requestId } = request;
  const headers = invocationHeaders("application/json", requestId);
  const log = new LogTail(requestId);
  const began = performance.now();
  const end = (functionError: string, bytes: Uint8Array, invocation?: Invocation) => {
    if (functionError !== "") headers.set("X-Amz-Function-Error", functionError);
    const report = reportFor(record, began, invocation, invocation?.response.report);
    if (wantsLog) headers.set("X-Amz-Log-Result", log.end(report));
    return new Response(bytes as Uint8Array<ArrayBuffer>, { status: 200, headers });
  };
  try {
    const { signal: _, ...options } = readInvokeOptions(context);
    const onLog = (line: LogLine) => log.add(line);
    const invocation = await invoker.invoke(name, request, { ...options, onLog });
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
