import { join } from "node:path";
import { SetupError } from "../../../setup/errors.ts";
import { askMonitor } from "./monitor.ts";
import { type Forward, freePort } from "./ports.ts";
import { type RigFiles, type RigState, writeState } from "./state.ts";

/**
 * Lets a port of the host's loopback reach a port of a running rig, and returns the host's. A forward that is there already
 * is used again, unless another host port is asked for.
 *
 * @throws {SetupError} PORT_TAKEN when somebody else listens on the host port.
 */
export async function ensureForward(
  files: RigFiles,
  state: RigState,
  [wanted, guest]: Forward,
): Promise<number> {
  const existing = state.forwards[String(guest)];
  if (existing !== undefined && (wanted === 0 || wanted === existing)) return existing;
  const host = wanted === 0 ? await freePort() : wanted;
  const monitor = join(state.sockets, "monitor");
  const answer = await askMonitor(monitor, `hostfwd_add net tcp:127.0.0.1:${host}-:${guest}`);
  if (answer !== "") {
    const message = `Port ${host} of this machine cannot be forwarded to the rig: ${answer}. Free it or choose another.`;
    throw new SetupError("PORT_TAKEN", message);
  }
  state.forwards[String(guest)] = host;
  await writeState(files, state);
  return host;
}
