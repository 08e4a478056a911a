import { answerOf, type ErrorAnswer } from "../service-error.ts";

/** What is known of why a function failed. */
export interface Failure {
  readonly errorMessage: string;
  readonly stack: string;
}

/** Codes of failures that are told to everybody as they are: they speak of the function or of the moment. */
const TOLD = new Set([
  "FIRN_FUNCTION_RESPONSE",
  "FIRN_INVOKE_TIMEOUT",
  "FIRN_DRAINING",
  "FIRN_FUNCTION_PENDING",
]);

/** Reads the error object of the Lambda API that the guest's runtime answers with. */
export function failureOf(payload: Uint8Array): Failure {
  const text = Buffer.from(payload).toString("utf8");
  try {
    const value = JSON.parse(text) as Record<string, unknown> | null;
    const trace = value?.trace ?? value?.stackTrace;
    return {
      errorMessage: String(value?.errorMessage ?? "it gave no reason"),
      stack: Array.isArray(trace) ? trace.join("\n") : "",
    };
  } catch {
    return { errorMessage: text.slice(0, 1000) || "it gave no reason", stack: "" };
  }
}

/** The answer for a function that failed: 502, for this server is a gateway to it. The stack is not for strangers. */
export function failedResponse(name: string, { errorMessage, stack }: Failure, withStack: boolean): Response {
  const body = {
    Type: "FunctionError",
    Message: `Function ${name} failed: ${errorMessage}`,
    code: "FIRN_FUNCTION_ERROR",
    ...(stack === "" || !withStack ? {} : { Stack: stack }),
  };
  return Response.json(body, { status: 502, headers: { "x-amzn-ErrorType": body.Type } });
}

/** What somebody who is not known may learn of an error: its kind, and all of what is wrong with the request. */
export function strangersAnswer(error: unknown): ErrorAnswer {
  const { status, body } = answerOf(error);
  const { Type, code } = body;
  const isCallers = status < 500 || TOLD.has(code);
  const Message = isCallers ? body.Message : "The function cannot be run now. The server's log tells why.";
  return { status, body: { Type, Message, code } };
}
