import { rm } from "node:fs/promises";
import type { Warning } from "@firn/protocol";
import type { Microvm, SnapshotReport } from "@firn/vmm";
import type { Deadline } from "../deadline.ts";
import { SnapshotError } from "../errors.ts";
import type { Store } from "../store/store.ts";
import type { AgentConnection } from "./agent-connection.ts";
import type { ScratchDisk } from "./scratch-disk.ts";

/** The doorbell events that stand for a snapshot, as `SnapshotGo` numbers them. */
const EVENT_NUMBER = { "base-ready": 2, warm: 3 } as const;

/** Most warnings of a guest that are taken, and the longest text of each in characters: they are kept as long as the snapshot. */
const MAX_WARNINGS = 16;
const MAX_WARNING_LENGTH = 4096;

/** Files of the store's temporary folder, to be published or removed. */
export interface SnapshotFiles {
  readonly memoryPath: string;
  readonly statePath: string;
  /** Absent if the microVM has no scratch disk. */
  readonly scratchPath?: string;
  readonly report: SnapshotReport;
  /** What clones will share although they should not. */
  readonly warnings: readonly Warning[];
}

/**
 * Lets the guest come to rest, waits for its doorbell and snapshots the microVM at that instruction. The microVM stays stopped.
 *
 * @throws {SnapshotError} FIRN_TIMEOUT, FIRN_ABORTED, FIRN_AGENT_PROTOCOL, FIRN_AGENT_DISCONNECTED.
 * @throws {FunctionFailedError} if a before-snapshot hook fails.
 */
export async function takeSnapshot(
  vm: Microvm,
  agent: AgentConnection,
  store: Store,
  options: {
    event: keyof typeof EVENT_NUMBER;
    appImageDigest?: string | undefined;
    scratch?: ScratchDisk | undefined;
    deadline: Deadline;
  },
): Promise<SnapshotFiles> {
  const { event, deadline, scratch } = options;
  agent.send({ type: "prepareSnapshot" });
  const prepared = await agent.expect("snapshotPrepared", deadline);
  const warnings = prepared.warnings.slice(0, MAX_WARNINGS).map(shortened);
  if (!agent.atFrameBoundary) {
    throw new SnapshotError(
      "FIRN_AGENT_PROTOCOL",
      "The guest went on talking after it had prepared its snapshot.",
    );
  }
  agent.send({ type: "snapshotGo", event: EVENT_NUMBER[event] });
  const { timeoutMs, signal } = deadline;
  const rung = await vm.waitForDoorbell({ timeoutMs, ...(signal === undefined ? {} : { signal }) });
  if (rung.event !== event) {
    throw new SnapshotError(
      "FIRN_AGENT_PROTOCOL",
      `The guest rang its doorbell with ${rung.event} (detail ${rung.detail}) where ${event} was expected.`,
    );
  }
  const memoryPath = store.temporaryPath("memory");
  const statePath = store.temporaryPath("state");
  const report = await vm.snapshot({
    layerPath: memoryPath,
    statePath,
    ...(options.appImageDigest === undefined ? {} : { appImageDigest: options.appImageDigest }),
    ...(signal === undefined ? {} : { signal }),
  });
  if (scratch === undefined) return { memoryPath, statePath, report, warnings };
  try {
    return { memoryPath, statePath, report, warnings, scratchPath: await scratch.pack(store) };
  } catch (error) {
    await rm(memoryPath, { force: true });
    await rm(statePath, { force: true });
    throw error;
  }
}

function shortened({ code, message }: Warning): Warning {
  return { code: code.slice(0, MAX_WARNING_LENGTH), message: message.slice(0, MAX_WARNING_LENGTH) };
}
