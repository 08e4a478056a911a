import { parseRigCommand } from "../test/rig/src/arguments.ts";
import { stopRig } from "../test/rig/src/down.ts";
import { openArmHost } from "../test/rig/src/index.ts";
import { readRunning, rigFiles } from "../test/rig/src/state.ts";
import { startRig } from "../test/rig/src/up.ts";
import { callerDirectory } from "./caller.ts";
import { hasUsableKvm } from "./machine.ts";
import { main } from "./main.ts";
import { prepareForRig } from "./steps/prepare.ts";

const forwardedVariables = /^(FIRN|RUST|CARGO|NODE|VITEST)_/;

await main(async (argv) => {
  const command = parseRigCommand(argv);
  if (hasUsableKvm() && command.action !== "exec") {
    console.log("This machine is an ARM host with KVM itself: commands run on it, and there is no rig.");
    return 0;
  }
  switch (command.action) {
    case "up": {
      await prepareForRig();
      const { files, state, started } = await startRig(command.options);
      const how = started ? "is up" : "was up already";
      console.log(
        `The rig ${state.name} ${how}: GICv${state.gic}, CPU ${state.cpu}, pages of ${state.pageKiB} KiB, ${state.memoryMiB} MiB, files in ${files.directory}`,
      );
      for (const [guest, host] of Object.entries(state.forwards))
        console.log(`127.0.0.1:${host} reaches its port ${guest}`);
      return 0;
    }
    case "down":
      console.log(
        (await stopRig(rigFiles(command.name))) ? `The rig ${command.name} is down.` : "It was not up.",
      );
      return 0;
    case "status": {
      const state = await readRunning(rigFiles(command.name));
      console.log(state === undefined ? `The rig ${command.name} is down.` : JSON.stringify(state, null, 2));
      return state === undefined ? 1 : 0;
    }
    case "exec":
      return execute(command.name, command.command, command.args, command.cwd);
  }
});

async function execute(name: string, command: string, args: string[], cwd?: string): Promise<number> {
  if (!hasUsableKvm() && (await readRunning(rigFiles(name))) === undefined) await prepareForRig();
  const host = await openArmHost({ name, keep: true });
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => forwardedVariables.test(key)));
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => stop.abort());
  const child = host.spawn(command, args, { env, cwd: cwd ?? callerDirectory(), signal: stop.signal });
  process.stdin.pipe(child.stdin);
  child.stdout.pipe(process.stdout);
  child.stderr.pipe(process.stderr);
  const status = await child.exited;
  // A terminal that nobody reads from any more would keep this process alive.
  process.stdin.destroy();
  return status;
}
