import type { FunctionRecord, Invocation, StreamedInvocation } from "@firn/functions";
import type { InvokeReport } from "@firn/snapshots";
import type { Report } from "./log-tail.ts";

/**
 * What the last line of an invocation's log tells.
 *
 * @param known What the guest told of it, if it told anything.
 */
export function reportFor(
  { memoryMib }: FunctionRecord,
  began: number,
  invocation: Invocation | StreamedInvocation | undefined,
  known: InvokeReport | undefined,
): Report {
  const total = performance.now() - began;
  const durationMs = known?.durationMs ?? total;
  const report = { durationMs, memoryMib, maxMemoryMib: known?.maxMemoryUsedMib || undefined };
  if (invocation === undefined || invocation.start === "warm") return report;
  const kind = invocation.start === "cold" ? ("Restore" as const) : ("Init" as const);
  return { ...report, start: { kind, milliseconds: Math.max(0, total - durationMs) } };
}
