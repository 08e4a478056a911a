import { ServiceError } from "./service-error.ts";

const NAME = /^[A-Za-z0-9_-]{1,64}$/;
const ARN = /^arn:[a-z-]+:lambda:[a-z0-9-]*:\d*:function:/;
const PARTIAL_ARN = /^\d{12}:(?:function:)?/;

/**
 * Finds the function's name in what a client of the Lambda API may write: a name, a full or partial ARN, each with `:$LATEST`.
 *
 * @throws {ServiceError} FIRN_INVALID_NAME.
 */
export function parseFunctionName(text: string, qualifier?: string): string {
  const [name = "", suffix, ...rest] = text.replace(ARN, "").replace(PARTIAL_ARN, "").split(":");
  const version = suffix ?? qualifier ?? "$LATEST";
  if (!NAME.test(name) || rest.length > 0) {
    throw new ServiceError(
      "FIRN_INVALID_NAME",
      `${JSON.stringify(text.slice(0, 200))} is no function name: 1 to 64 letters, digits, - and _.`,
    );
  }
  if (version !== "$LATEST") {
    throw new ServiceError(
      "FIRN_INVALID_NAME",
      `Function ${name} has no version or alias ${JSON.stringify(version.slice(0, 100))}: there is only $LATEST.`,
    );
  }
  return name;
}
