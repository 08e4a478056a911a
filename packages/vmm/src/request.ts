import type { VmmProcess } from "./binding.ts";
import { type WaitLimits, withDeadline } from "./deadline.ts";
import { type FirnVmmError, toFirnVmmError } from "./errors.ts";

let lastId = 0;

/**
 * Sends one request to a VMM process and waits for the response; the native side rejects it when a limit ends the wait.
 *
 * @throws {FirnVmmError}
 */
export async function request<T>(
  vmm: VmmProcess,
  what: string,
  limits: WaitLimits,
  send: (id: number) => Promise<T>,
): Promise<T> {
  lastId = (lastId + 1) % 2 ** 32;
  const id = lastId;
  let gaveUp: FirnVmmError | undefined;
  const giveUp = (error: FirnVmmError) => {
    gaveUp ??= error;
    vmm.cancel(id, error.code, error.message);
  };
  try {
    return await withDeadline(what, limits, () => send(id), giveUp);
  } catch (thrown) {
    const error = toFirnVmmError(thrown);
    // The error made here has the cause and the caller's stack.
    throw gaveUp !== undefined && gaveUp.code === error.code ? gaveUp : error;
  }
}
