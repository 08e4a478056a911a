import type { Context } from "hono";
import { ServiceError } from "../service-error.ts";
import { isFromPage } from "./guards.ts";

/** What a body may be. */
export interface MediaTypes {
  /** For the error message: what is expected. */
  readonly expected: string;
  readonly types: RegExp;
  /** Also what `curl --data` sends if nothing else is said. */
  readonly form?: boolean;
}

/** The body of a call of the Lambda API's control plane. */
export const JSON_TYPES: MediaTypes = {
  expected: "application/json",
  types: /^application\/(json|x-amz-json-1\.[01])$/,
};

/** An event: AWS clients call it application/octet-stream. */
export const EVENT_TYPES: MediaTypes = {
  expected: "application/json",
  types: /^application\/(octet-stream|[a-z0-9.+-]*\+?json(-seq)?|x-amz-json-1\.[01])$/,
  form: true,
};

/** An archive of a function's files; its first bytes tell which. */
export const ARCHIVE_TYPES: MediaTypes = {
  expected: "application/zip, application/x-tar, application/gzip or application/octet-stream",
  types: /^application\/(zip|x-zip-compressed|x-tar|tar|gzip|x-gzip|x-gtar|octet-stream)$/,
};

/**
 * Checks the type of a body. A page may send text and forms anywhere without asking first (a CORS preflight): no control route
 * takes them from a page. A body without a type comes from clients of old, and from pages too: those are refused.
 *
 * @throws {ServiceError} FIRN_MEDIA_TYPE.
 */
export function requireMediaType(context: Context, wanted: MediaTypes): void {
  const type = context.req.header("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
  if (wanted.types.test(type)) return;
  const isPlain = type === "" || (wanted.form === true && type === "application/x-www-form-urlencoded");
  if (isPlain && !isFromPage(context)) return;
  const got = type === "" ? "of no type" : `${type.slice(0, 100)}`;
  throw new ServiceError(
    "FIRN_MEDIA_TYPE",
    `The body is ${got}. Send it with Content-Type: ${wanted.expected}.`,
  );
}
