import { loadBinding, type Started, type VmmProcess } from "./binding.ts";
import { closeProcess } from "./close-process.ts";
import { throwIfAborted } from "./deadline.ts";
import { toFirnVmmError } from "./errors.ts";
import type { JailOptions, JailReport } from "./jail.ts";
import { adviseOnKvm } from "./kvm-advice.ts";
import { Microvm } from "./microvm.ts";
import { nativeJail } from "./native-jail.ts";
import { ProcessEvents } from "./process-events.ts";
import { request } from "./request.ts";
import { COMMAND_TIMEOUT_MS, START_TIMEOUT_MS } from "./timeouts.ts";

/** What makes a start a boot or a restore. */
export interface Start {
  /** For errors. */
  what: string;
  jail: JailOptions | undefined;
  signal: AbortSignal | undefined;
  /** For the agent stream. */
  initialBytes: Uint8Array | undefined;
  send: (vmm: VmmProcess, id: number) => Promise<Started>;
}

/** A VMM process without a microVM yet. */
export interface SpawnedProcess {
  readonly vmm: VmmProcess;
  readonly events: ProcessEvents;
  /** Settles when the process is in its jail, or cannot be. */
  readonly jailed: Promise<JailReport>;
}

/** Starts a VMM process, without waiting for it. @throws {FirnVmmError} FIRN_VMM_OPTIONS for a jail that does not exist, FIRN_IO. */
export function spawnProcess(jail: JailOptions | undefined): SpawnedProcess {
  const options = nativeJail(jail);
  const { binding, binaryPath } = loadBinding();
  const events = new ProcessEvents();
  const vmm = construct(() => new binding.VmmProcess(binaryPath, options, events.handle));
  const limits = { timeoutMs: COMMAND_TIMEOUT_MS };
  const jailed = request(vmm, "Entering the jail", limits, (id) => vmm.jailed(id));
  // Whoever has something done by the process is told then; nobody else needs to be.
  jailed.catch(() => {});
  return { vmm, events, jailed };
}

function construct(make: () => VmmProcess): VmmProcess {
  try {
    return make();
  } catch (thrown) {
    throw toFirnVmmError(thrown);
  }
}

/** Spawns a VMM process and makes it a microVM; if that fails, the process is gone when this rejects. */
export async function startMicrovm(start: Start): Promise<Microvm> {
  throwIfAborted(start.what, start.signal);
  return becomeMicrovm(spawnProcess(start.jail), start, { pooled: false });
}

/** Makes a process a microVM; if that fails, the process is gone when this rejects. */
export async function becomeMicrovm(
  process: SpawnedProcess,
  { what, signal, initialBytes, send }: Start,
  { pooled }: { pooled: boolean },
): Promise<Microvm> {
  const { vmm, events, jailed } = process;
  try {
    const limits = { signal, timeoutMs: START_TIMEOUT_MS };
    const starting = request(vmm, what, limits, (id) => send(vmm, id));
    const [started, jail] = await Promise.all([starting, jailed]);
    const microvm = new Microvm(vmm, events, { ...started, jail, pooled });
    const unsent = initialBytes?.subarray(started.initialBytesWritten);
    if (unsent !== undefined && unsent.length > 0) microvm.stream.write(unsent);
    return microvm;
  } catch (thrown) {
    // Why it failed says more than that its process does not end either.
    await closeProcess(vmm).catch(() => {});
    throw await adviseOnKvm(toFirnVmmError(thrown));
  }
}
