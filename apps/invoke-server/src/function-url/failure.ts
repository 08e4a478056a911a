import type { FunctionFailure } from "@firn/functions";
import { answerOf, type ErrorAnswer } from "../service-error.ts";

/** Codes of failures that are told to everybody as they are: they speak of the function or of the moment. */
const TOLD = new Set([
  "FIRN_FUNCTION_RESPONSE",
  "FIRN_INVOKE_TIMEOUT",
  "FIRN_DRAINING",
  "FIRN_FUNCTION_PENDING",
]);

/**
 * The answer for a function that failed: 502, for this server is a gateway to it.
 *
 * @param isOpen Whether the caller may learn why: what a function throws may name hosts, queries and secrets.
 */
export function failedResponse(
  name: string,
  { errorMessage, stack }: FunctionFailure,
  isOpen: boolean,
): Response {
  const body = {
    Type: "FunctionError",
    Message: isOpen
      ? `Function ${name} failed: ${errorMessage}`
      : `Function ${name} failed. Its log tells why, under the request's id.`,
    code: "FIRN_FUNCTION_ERROR",
    ...(stack === "" || !isOpen ? {} : { Stack: stack }),
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
