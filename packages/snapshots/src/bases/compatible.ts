import { AGENT_ABI } from "@firn/protocol";
import { SnapshotError } from "../errors.ts";
import type { SnapshotConfig, SnapshotManifest } from "../store/manifest.ts";
import { hostFingerprint } from "./host-fingerprint.ts";

/** Why a snapshot cannot be started here and now; `undefined` if nothing is known against it. */
export async function incompatibility(config: SnapshotConfig): Promise<string | undefined> {
  if (config.agent.abi !== AGENT_ABI) {
    return `its agent speaks protocol ${config.agent.abi}, this program ${AGENT_ABI}`;
  }
  const host = await hostFingerprint();
  for (const name of new Set([...Object.keys(host), ...Object.keys(config.host)])) {
    const [then, now] = [config.host[name] ?? "unknown", host[name] ?? "unknown"];
    if (then !== now) return `it was taken on a host with ${name} ${then}, this one has ${now}`;
  }
  return undefined;
}

/** @throws {SnapshotError} FIRN_SNAPSHOT_INCOMPATIBLE if a snapshot is for another host or another agent. */
export async function requireCompatible({ digest, config }: SnapshotManifest): Promise<void> {
  const reason = await incompatibility(config);
  if (reason === undefined) return;
  const message = `Snapshot ${digest} cannot be used: ${reason}. Make it again.`;
  throw new SnapshotError("FIRN_SNAPSHOT_INCOMPATIBLE", message);
}
