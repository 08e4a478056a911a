import { collect, type Launch, launchProcess } from "./child.ts";
import type { ArmHost, ExecOptions } from "./host.ts";

/** This machine itself, as an ARM host. */
export function nativeHost(): ArmHost {
  const spawn: ArmHost["spawn"] = (command, args = [], options = {}) =>
    launchProcess(launch(command, args, options), options.signal);
  const close = async () => undefined;
  return {
    kind: "native",
    name: "native",
    exec: (command, args = [], options = {}) =>
      collect(
        (signal) => spawn(command, args, { ...options, signal }),
        [command, ...args].join(" "),
        options,
      ),
    spawn,
    port: async (guestPort) => guestPort,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function launch(command: string, args: readonly string[], options: ExecOptions): Launch {
  return {
    command,
    args,
    cwd: options.cwd ?? process.cwd(),
    env: { ...process.env, ...options.env },
    // The leader of a process group of its own, which can be ended as one.
    detached: true,
    async kill(child, signal) {
      if (child.pid === undefined || child.exitCode !== null) return;
      process.kill(-child.pid, `SIG${signal}`);
    },
  };
}
