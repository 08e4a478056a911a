import { ServiceError } from "../service-error.ts";

/** Fields of the AWS API that have no meaning here, and what of each is the same as not giving it. */
const UNSUPPORTED: ReadonlyMap<string, (value: unknown) => boolean> = new Map([
  ["Architectures", (value) => isDefault(value, (one) => one === "arm64")],
  ["CapacityProviderConfig", isEmpty],
  ["CodeSigningConfigArn", isEmpty],
  ["DeadLetterConfig", isEmpty],
  ["DurableConfig", isEmpty],
  ["EphemeralStorage", (value) => isDefault(value, (one) => one === 512)],
  ["FileSystemConfigs", isEmpty],
  ["ImageConfig", isEmpty],
  ["ImageUri", isEmpty],
  ["KMSKeyArn", isEmpty],
  ["Layers", isEmpty],
  ["LoggingConfig", (value) => isDefault(value, (one) => one === "Text")],
  ["PackageType", (value) => isDefault(value, (one) => one === "Zip")],
  ["Publish", (value) => isDefault(value, (one) => one === false)],
  ["PublishTo", isEmpty],
  ["S3Bucket", isEmpty],
  ["S3Key", isEmpty],
  ["S3ObjectStorageMode", isEmpty],
  ["S3ObjectVersion", isEmpty],
  ["SourceKMSKeyArn", isEmpty],
  ["TenancyConfig", isEmpty],
  ["TracingConfig", (value) => isDefault(value, (one) => one === "PassThrough")],
  ["VpcConfig", (value) => isDefault(value, (one) => one === false)],
]);

/**
 * Takes the fields of the AWS API that cannot be had here out of a request. One that is left at its default is dropped: clients
 * such as Terraform send all of them.
 *
 * @throws {ServiceError} FIRN_NOT_SUPPORTED naming the first field that asks for something.
 */
export function withoutUnsupported(body: unknown): unknown {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return body;
  const rest: [string, unknown][] = [];
  for (const [field, value] of Object.entries(body)) {
    const isHarmless = UNSUPPORTED.get(field);
    if (isHarmless === undefined) rest.push([field, value]);
    else if (!isHarmless(value)) {
      const shown = (JSON.stringify(value) ?? "").slice(0, 100);
      throw new ServiceError(
        "FIRN_NOT_SUPPORTED",
        `${field} ${shown} is not supported by Firn. Leave it out.`,
      );
    }
  }
  return Object.fromEntries(rest);
}

/** Whether a value holds nothing: a client's way of leaving a field out. */
function isEmpty(value: unknown): boolean {
  return isDefault(value, () => false);
}

/** Whether everything in a value is empty or as given. */
function isDefault(value: unknown, isGiven: (value: unknown) => boolean): boolean {
  if (value === null || value === undefined || value === "" || isGiven(value)) return true;
  return typeof value === "object" && Object.values(value).every((one) => isDefault(one, isGiven));
}
