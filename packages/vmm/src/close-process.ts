import type { VmmProcess } from "./binding.ts";
import { withDeadline } from "./deadline.ts";
import { CLOSE_TIMEOUT_MS } from "./timeouts.ts";

/**
 * Kills a VMM process and waits until it is gone.
 *
 * @throws {FirnVmmError} FIRN_TIMEOUT if the kernel does not end it, as when it hangs in a dead disk.
 */
export async function closeProcess(vmm: VmmProcess): Promise<void> {
  const gone = Promise.withResolvers<void>();
  const start = () => {
    vmm.close().then(gone.resolve, gone.reject);
    return gone.promise;
  };
  await withDeadline("Ending firn-vmm", { timeoutMs: CLOSE_TIMEOUT_MS }, start, gone.reject);
}
