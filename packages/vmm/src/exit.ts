import type { VmmEvent } from "./binding.ts";
import { FirnVmmError, parseNativeError } from "./errors.ts";

/** Why a microVM is gone. */
export interface MicrovmExit {
  /**
   * - `closed`: it was closed here
   * - `stopped`: the guest switched itself off
   * - `reset`: the guest reset itself
   * - `failed`: the VMM says in `error` why it cannot go on
   * - `crashed`: the VMM process ended without saying why; `error` has its status and last words
   */
  reason: "closed" | "stopped" | "reset" | "failed" | "crashed";
  /** Present when `failed` or `crashed`. */
  error?: FirnVmmError;
}

/** The exit that an event of kind `exit` tells. */
export function exitOf(event: VmmEvent): MicrovmExit {
  const reason = event.reason ?? "crashed";
  return event.error === undefined ? { reason } : { reason, error: parseNativeError(event.error) };
}

/** What those get who wait for something that this exit makes impossible. */
export function errorOfExit({ reason, error }: MicrovmExit): FirnVmmError {
  if (error !== undefined) return error;
  if (reason === "closed") return new FirnVmmError("FIRN_VMM_CLOSED", "The microVM was closed.");
  const message = `The guest has ${reason === "reset" ? "reset" : "switched off"} itself.`;
  return new FirnVmmError("FIRN_VMM_STOPPED", message);
}
