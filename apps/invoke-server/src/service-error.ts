import { errorFields } from "@firn/functions";
import { errorCode, FunctionFailedError } from "@firn/snapshots";
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Dependencies } from "./dependencies.ts";

/** An error of this server's own. */
export class ServiceError extends Error {
  readonly code: string;

  constructor(code: keyof typeof SERVER_CODES, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ServiceError";
    this.code = code;
  }
}

/** An error as it is answered, in the shape of the AWS Lambda API, with Firn's code beside it. */
export interface ErrorAnswer {
  readonly status: ContentfulStatusCode;
  readonly body: {
    /** Exception name of the AWS Lambda API. */
    readonly Type: string;
    readonly Message: string;
    readonly code: string;
    /** Stack of the function's own error. */
    readonly Stack?: string;
  };
}

type Answer = readonly [status: ContentfulStatusCode, type: string];

/** Codes that this server throws itself. */
const SERVER_CODES = {
  FIRN_INVALID_REQUEST: [400, "InvalidRequestContentException"],
  FIRN_NOT_SUPPORTED: [400, "InvalidParameterValueException"],
  FIRN_INVALID_NAME: [400, "InvalidParameterValueException"],
  FIRN_HOST_NOT_ALLOWED: [403, "AccessDeniedException"],
  FIRN_ORIGIN_NOT_ALLOWED: [403, "AccessDeniedException"],
  FIRN_NOT_FOUND: [404, "ResourceNotFoundException"],
  FIRN_FUNCTION_EXISTS: [409, "ResourceConflictException"],
  FIRN_METHOD_NOT_SUPPORTED: [501, "InvalidRequestContentException"],
  FIRN_UPGRADE_NOT_SUPPORTED: [501, "InvalidRequestContentException"],
  FIRN_REVISION_MISMATCH: [412, "PreconditionFailedException"],
  FIRN_PAYLOAD_TOO_LARGE: [413, "RequestTooLargeException"],
  FIRN_MEDIA_TYPE: [415, "UnsupportedMediaTypeException"],
  FIRN_FUNCTION_RESPONSE: [502, "FunctionError"],
  FIRN_FUNCTION_ERROR: [502, "FunctionError"],
  FIRN_DRAINING: [503, "ServiceException"],
} as const satisfies Record<string, Answer>;

/** Codes of the packages underneath. What is not listed is answered by 500. */
const PACKAGE_CODES: Readonly<Record<string, Answer>> = {
  FIRN_FUNCTION_NOT_FOUND: [404, "ResourceNotFoundException"],
  FIRN_NO_IDLE_INSTANCE: [409, "ResourceConflictException"],
  FIRN_TOO_MANY_INSTANCES: [429, "TooManyRequestsException"],
  FIRN_FUNCTION_PENDING: [409, "ResourceConflictException"],
  FIRN_FUNCTION_FAILED: [502, "ResourceNotReadyException"],
  FIRN_FUNCTION_IMPORT: [422, "FunctionDeployException"],
  FIRN_FUNCTION_NOT_READY: [422, "FunctionDeployException"],
  FIRN_FUNCTION_EXITED: [422, "FunctionDeployException"],
  FIRN_FUNCTION_HOOK: [422, "FunctionDeployException"],
  FIRN_FUNCTION_SAMPLE: [422, "FunctionDeployException"],
  FIRN_INVALID_PARAMETER: [400, "InvalidParameterValueException"],
  FIRN_RUNTIME_UNKNOWN: [400, "InvalidParameterValueException"],
  FIRN_APP_INVALID: [400, "InvalidParameterValueException"],
  FIRN_APP_TOO_LARGE: [413, "RequestTooLargeException"],
  FIRN_KVM_UNAVAILABLE: [503, "ServiceException"],
  FIRN_JAIL_UNAVAILABLE: [503, "ServiceException"],
  FIRN_PLATFORM_UNSUPPORTED: [503, "ServiceException"],
  FIRN_VMM_BINARY_MISSING: [503, "ServiceException"],
  FIRN_FILE_MISSING: [503, "ServiceException"],
  FIRN_TOOL_MISSING: [503, "ServiceException"],
  FIRN_POOL_CLOSED: [503, "ServiceException"],
  FIRN_ABORTED: [503, "ServiceException"],
  FIRN_VMM_CRASHED: [502, "ServiceException"],
  FIRN_VMM_STOPPED: [502, "ServiceException"],
  FIRN_GUEST: [502, "ServiceException"],
  FIRN_INSTANCE_ENDED: [502, "ServiceException"],
  FIRN_AGENT_DISCONNECTED: [502, "ServiceException"],
  FIRN_AGENT_PROTOCOL: [502, "ServiceException"],
  FIRN_TIMEOUT: [504, "ServiceException"],
  FIRN_INVOKE_TIMEOUT: [504, "FunctionError"],
};

/** How an error is answered. Errors without a code are this program's own defects: their text stays in the log. */
export function answerOf(error: unknown): ErrorAnswer {
  const code = errorCode(error);
  if (!(error instanceof Error) || code === undefined || !code.startsWith("FIRN_")) {
    const Message = "The server has met an unexpected error. Its log tells more.";
    return { status: 500, body: { Type: "ServiceException", Message, code: "FIRN_INTERNAL" } };
  }
  const known: Readonly<Record<string, Answer>> = SERVER_CODES;
  const [status, Type] = known[code] ?? PACKAGE_CODES[code] ?? ([500, "ServiceException"] as const);
  const stack = error instanceof FunctionFailedError ? error.guestStack : "";
  return { status, body: { Type, Message: error.message, code, ...(stack === "" ? {} : { Stack: stack }) } };
}

/** Logs an error and answers with it. */
export function answerError(
  context: Context,
  { log, readiness }: Pick<Dependencies, "log" | "readiness">,
  error: unknown,
  { status, body }: ErrorAnswer = answerOf(error),
): Response {
  const fields = { ...errorFields(error), status, method: context.req.method, path: context.req.path };
  if (status >= 500) log.error(fields, "request failed");
  else log.info(fields, "request refused");
  context.header("x-amzn-ErrorType", body.Type);
  if (status === 429) context.header("Retry-After", "1");
  // What is left of a body that was refused must not be taken for the next request.
  if (status === 413 || readiness.draining) context.header("Connection", "close");
  return context.json(body, status);
}
