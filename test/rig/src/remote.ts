import { randomUUID } from "node:crypto";
import { cacheDirectory } from "../../../setup/cache.ts";
import { run } from "../../../setup/command.ts";
import { collect, launchProcess } from "./child.ts";
import { stopRig } from "./down.ts";
import { ensureForward } from "./forwards.ts";
import type { ArmHost } from "./host.ts";
import { isTooLong, killLine, quote, remoteLine, sshHost } from "./ssh.ts";
import type { RunningRig } from "./up.ts";

const killTimeoutMs = 10_000;

/** A rig that is up, as an ARM host. */
export function rigHost(rig: RunningRig, keep: boolean): ArmHost {
  const { files, state } = rig;
  const ssh = ["-F", files.sshConfig, sshHost];
  const spawn: ArmHost["spawn"] = (command, args = [], options = {}) => {
    const id = randomUUID();
    const line = remoteLine({
      command,
      args,
      cwd: options.cwd ?? process.cwd(),
      env: { FIRN_CACHE: cacheDirectory(), LANG: "C.UTF-8", ...options.env },
      id,
    });
    const kill = async (signal: string) => {
      const options = { timeoutMs: killTimeoutMs, allowFailure: true };
      await run("ssh", [...ssh, killLine(id, signal)], options);
    };
    return launchProcess(
      {
        command: "ssh",
        args: [...ssh, line],
        // Out of reach of the terminal's signals: whoever started the command decides when it ends.
        detached: true,
        async kill(child, signal) {
          if (child.exitCode === null) await kill(signal);
          // The command is gone; what it left running in the background may still hold the connection.
          if (signal === "KILL") child.kill("SIGKILL");
        },
      },
      options.signal,
    );
  };
  const close = async () => {
    if (rig.started && !keep) await stopRig(files);
  };
  return {
    kind: "rig",
    name: state.name,
    exec: (command, args = [], options = {}) => {
      const line = [command, ...args].map(quote).join(" ");
      const start = (signal: AbortSignal) => spawn(command, args, { ...options, signal });
      if (options.input !== undefined || !isTooLong(line)) return collect(start, line, options);
      const byInput = (signal: AbortSignal) => spawn("sh", ["-s"], { ...options, signal });
      return collect(byInput, line, { ...options, input: `exec ${line} < /dev/null\n` });
    },
    spawn,
    port: (guestPort, wantedPort = 0) => ensureForward(files, state, [wantedPort, guestPort]),
    close,
    [Symbol.asyncDispose]: close,
  };
}
