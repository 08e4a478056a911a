import { createHash } from "node:crypto";
import type { FunctionRecord, FunctionRuntimes } from "@firn/functions";
import { readAnnotations } from "./annotations.ts";
import { joinHandler } from "./handler-name.ts";

/** The configuration of a function's newest version in the words of the Lambda API. */
export function functionConfiguration(
  record: FunctionRecord,
  runtimes: FunctionRuntimes,
): Record<string, unknown> {
  const { name, memoryMib, timeoutMs, updated, code, environment } = record;
  const { Runtime, Role, Description = "", SnapStart } = readAnnotations(record.annotations);
  const runtime = runtimes.list().find((runtime) => runtime.name === record.runtime);
  return {
    FunctionName: name,
    FunctionArn: functionArn(name),
    // What AWS calls it; its own name if AWS has none, or if it is not there any more.
    Runtime: Runtime ?? runtime?.lambdaRuntimes[0] ?? record.runtime,
    Role: Role ?? "",
    Handler: joinHandler(record, runtime?.defaultHandler ?? ""),
    Description,
    CodeSize: code.size,
    CodeSha256: Buffer.from(code.digest.slice("sha256:".length), "hex").toString("base64"),
    MemorySize: memoryMib,
    Timeout: Math.ceil(timeoutMs / 1000),
    LastModified: updated.replace("Z", "+0000"),
    Version: "$LATEST",
    RevisionId: revisionId(record),
    PackageType: "Zip",
    Architectures: ["arm64"],
    ...(Object.keys(environment).length > 0 ? { Environment: { Variables: environment } } : {}),
    EphemeralStorage: { Size: 512 },
    LoggingConfig: { LogFormat: "Text", LogGroup: `/aws/lambda/${name}` },
    SnapStart: { ApplyOn: SnapStart?.ApplyOn ?? "None", OptimizationStatus: "Off" },
    TracingConfig: { Mode: "PassThrough" },
    ...states(record),
  };
}

/** The ARN of a function: account and region are none. */
export function functionArn(name: string): string {
  return `arn:aws:lambda:local:000000000000:function:${name}`;
}

/** Changes with every version of a function, and is that of no other function. */
export function revisionId({ id, version }: Pick<FunctionRecord, "id" | "version">): string {
  const digest = createHash("sha256").update(`${id}:${version}`).digest("hex");
  return [
    digest.slice(0, 8),
    digest.slice(8, 12),
    digest.slice(12, 16),
    digest.slice(16, 20),
    digest.slice(20, 32),
  ].join("-");
}

/** `State` is of the function, `LastUpdateStatus` of its newest version: the waiters of the AWS SDK look at one each. */
function states({ state, update, failure }: FunctionRecord): Record<string, unknown> {
  const { message: reason, code } = failure ?? { message: "", code: "" };
  return {
    State: state,
    ...(state === "Pending"
      ? { StateReason: "The function is being created.", StateReasonCode: "Creating" }
      : {}),
    ...(state === "Failed" ? { StateReason: reason, StateReasonCode: code } : {}),
    LastUpdateStatus: update,
    ...(update === "Failed" ? { LastUpdateStatusReason: reason, LastUpdateStatusReasonCode: code } : {}),
  };
}
