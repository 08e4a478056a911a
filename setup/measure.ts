import { SetupError } from "./errors.ts";
import type { ExampleFunction } from "./steps/deploy.ts";

/** How an invocation is started: what the request header says. */
export type StartMode = "regular" | "base" | "cold" | "warm";

/** One invocation, measured by the server that served it. */
export interface Measurement {
  start: string;
  /** From the receipt of the request until the answer, in milliseconds. */
  milliseconds: number;
  kvmExits: number;
  /** Page faults of the VMM process. */
  faults: number;
  bytesCopied: number;
  privateBytes: number;
  storeBytes: number;
  body: Buffer;
}

const invokeDeadlineMs = 5 * 60_000;

/**
 * Invokes an example function in one start mode.
 *
 * @throws {SetupError} CHECK_FAILED when it does not answer, or not with what was measured.
 */
export async function invokeMeasured(
  url: string,
  { name, sample }: ExampleFunction,
  start: StartMode,
  signal: AbortSignal,
): Promise<Measurement> {
  const response = await fetch(url + sample.path, {
    method: "POST",
    headers: { "x-firn-start": start, "x-firn-statistics": "1", "content-type": "application/octet-stream" },
    ...(sample.body === undefined ? {} : { body: sample.body }),
    signal: AbortSignal.any([signal, AbortSignal.timeout(invokeDeadlineMs)]),
  });
  const body = Buffer.from(await response.arrayBuffer());
  const statistics = response.headers.get("x-firn-statistics");
  const total = /\btotal;dur=([\d.]+)/.exec(response.headers.get("server-timing") ?? "");
  const failed = !response.ok || response.headers.has("x-amz-function-error");
  if (failed || statistics === null || total === null) {
    const message = `${name} was invoked (${start}) and the server answered ${response.status}.\n${body.toString("utf8")}`;
    throw new SetupError("CHECK_FAILED", message);
  }
  type Statistics = Measurement & Record<"bytesPopulated" | "minorFaults" | "majorFaults", number>;
  const { bytesPopulated, minorFaults, majorFaults, ...counted } = JSON.parse(statistics) as Statistics;
  const { kvmExits, privateBytes, storeBytes } = counted;
  return {
    kvmExits,
    faults: minorFaults + majorFaults,
    // A page that is made private ahead of time is copied as well.
    bytesCopied: counted.bytesCopied + bytesPopulated,
    privateBytes,
    storeBytes,
    start: response.headers.get("x-firn-start") ?? "",
    milliseconds: Number(total[1]),
    body,
  };
}

/** A process counts from its start. What an answer of a warm instance cost is what was added since its last one. */
export function since(now: Measurement, before: Measurement): Measurement {
  return {
    ...now,
    kvmExits: now.kvmExits - before.kvmExits,
    faults: now.faults - before.faults,
    bytesCopied: now.bytesCopied - before.bytesCopied,
  };
}

/** The middle of an odd number of values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
