import { loadBinding, type Started, type VmmProcess } from "./binding.ts";
import { closeProcess } from "./close-process.ts";
import { throwIfAborted } from "./deadline.ts";
import { toFirnVmmError } from "./errors.ts";
import { adviseOnKvm } from "./kvm-advice.ts";
import { Microvm } from "./microvm.ts";
import { ProcessEvents } from "./process-events.ts";
import { request } from "./request.ts";
import { START_TIMEOUT_MS } from "./timeouts.ts";

/** What makes a start a boot or a restore. */
export interface Start {
  /** For errors. */
  what: string;
  signal: AbortSignal | undefined;
  /** For the agent stream. */
  initialBytes: Uint8Array | undefined;
  send: (vmm: VmmProcess, id: number) => Promise<Started>;
}

/** Spawns a VMM process and makes it a microVM; if that fails, the process is gone when this rejects. */
export async function startMicrovm({ what, signal, initialBytes, send }: Start): Promise<Microvm> {
  throwIfAborted(what, signal);
  const { binding, binaryPath } = loadBinding();
  const events = new ProcessEvents();
  const vmm = new binding.VmmProcess(binaryPath, events.handle);
  try {
    const limits = { signal, timeoutMs: START_TIMEOUT_MS };
    const started = await request(vmm, what, limits, (id) => send(vmm, id));
    const microvm = new Microvm(vmm, events, started);
    const unsent = initialBytes?.subarray(started.initialBytesWritten);
    if (unsent !== undefined && unsent.length > 0) microvm.stream.write(unsent);
    return microvm;
  } catch (thrown) {
    // Why it failed says more than that its process does not end either.
    await closeProcess(vmm).catch(() => {});
    throw await adviseOnKvm(toFirnVmmError(thrown));
  }
}
