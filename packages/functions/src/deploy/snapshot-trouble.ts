import { errorCode } from "@firn/snapshots";

/** The store or the VMM has found that a snapshot cannot be used. */
const UNUSABLE = new Set(["FIRN_SNAPSHOT_CORRUPT", "FIRN_SNAPSHOT_MISSING", "FIRN_SNAPSHOT_INCOMPATIBLE"]);

/** How a start ends when a snapshot's bytes are damaged in a way that nobody has noticed. */
const SUSPICIOUS = new Set([
  "FIRN_TIMEOUT",
  "FIRN_VMM_CRASHED",
  "FIRN_AGENT_DISCONNECTED",
  "FIRN_AGENT_PROTOCOL",
]);

/** Whether an error says that a snapshot must be made again. */
export function isUnusable(error: unknown): boolean {
  return UNUSABLE.has(errorCode(error) ?? "");
}

/** Whether an error may come from a damaged snapshot: then it is worth reading all of it. */
export function mayBeDamaged(error: unknown): boolean {
  return isUnusable(error) || SUSPICIOUS.has(errorCode(error) ?? "");
}
