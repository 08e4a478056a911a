import { parseArgs } from "node:util";
import { SetupError } from "../../../setup/errors.ts";
import { type Forward, parseForward } from "./ports.ts";
import { defaultName, type RigOptions } from "./up.ts";

/** What the command line of the rig asks for. */
export type RigCommand =
  | { action: "up"; options: RigOptions & { name: string } }
  | { action: "down" | "status"; name: string }
  | { action: "exec"; name: string; command: string; args: string[]; cwd?: string };

export const usage = `Usage: npm run rig -- up [--name NAME] [--gic 2|3] [--cpu cortex-a76|max] [--pages 4|16] [--memory MIB] [--forward HOSTPORT:GUESTPORT]…
       npm run rig -- exec [--name NAME] [--cwd DIRECTORY] [--] COMMAND [ARGUMENT…]
       npm run rig -- status [--name NAME]
       npm run rig -- down [--name NAME]`;

/**
 * Reads the command line of the rig.
 *
 * @throws {SetupError} RIG_BAD_ARGUMENT
 */
export function parseRigCommand(argv: readonly string[]): RigCommand {
  const [action, ...rest] = argv;
  if (action === "exec") return parseExec(rest);
  if (action === "up") return parseUp(rest);
  if (action === "down" || action === "status") {
    const { values } = parse(rest, { name: { type: "string" } });
    return { action, name: values.name ?? defaultName };
  }
  throw new SetupError("RIG_BAD_ARGUMENT", `"${action ?? ""}" is nothing that the rig does.\n${usage}`);
}

// The options of the rig end where the command begins: what follows belongs to the command.
function parseExec(rest: readonly string[]): RigCommand {
  let at = 0;
  while (rest[at] === "--name" || rest[at] === "--cwd") at += 2;
  const { values } = parse(rest.slice(0, at), { name: { type: "string" }, cwd: { type: "string" } });
  if (rest[at] === "--") at += 1;
  const [command, ...args] = rest.slice(at);
  if (command === undefined)
    throw new SetupError("RIG_BAD_ARGUMENT", `There is no command to run.\n${usage}`);
  const name = values.name ?? defaultName;
  return { action: "exec", name, command, args, ...(values.cwd === undefined ? {} : { cwd: values.cwd }) };
}

function parseUp(rest: readonly string[]): RigCommand {
  const { values } = parse(rest, {
    name: { type: "string" },
    gic: { type: "string" },
    cpu: { type: "string" },
    pages: { type: "string" },
    memory: { type: "string" },
    forward: { type: "string", multiple: true },
  });
  const options: RigOptions & { name: string } = { name: values.name ?? defaultName };
  if (values.gic !== undefined) options.gic = choose("gic", values.gic, { 2: 2, 3: 3 } as const);
  if (values.cpu !== undefined) {
    options.cpu = choose("cpu", values.cpu, { "cortex-a76": "cortex-a76", max: "max" } as const);
  }
  if (values.pages !== undefined) options.pageKiB = choose("pages", values.pages, { 4: 4, 16: 16 } as const);
  if (values.memory !== undefined) {
    const memoryMiB = Number(values.memory);
    if (!Number.isInteger(memoryMiB) || memoryMiB < 512) {
      const message = `A rig cannot have "${values.memory}" MiB of memory. Give it 512 or more.`;
      throw new SetupError("RIG_BAD_ARGUMENT", message);
    }
    options.memoryMiB = memoryMiB;
  }
  const forwards: Forward[] = (values.forward ?? []).map(parseForward);
  if (forwards.length > 0) options.forwards = forwards;
  return { action: "up", options };
}

function choose<T>(option: string, value: string, choices: Readonly<Record<string, T>>): T {
  const chosen = Object.hasOwn(choices, value) ? choices[value] : undefined;
  if (chosen !== undefined) return chosen;
  const list = Object.keys(choices).join(" or ");
  throw new SetupError("RIG_BAD_ARGUMENT", `There is no --${option} ${value} here. Choose ${list}.`);
}

type Options = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>["options"]>;

function parse<T extends Options>(args: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...args], options, strict: true });
  } catch (cause) {
    const message = `${(cause as Error).message}.\n${usage}`;
    throw new SetupError("RIG_BAD_ARGUMENT", message, { cause });
  }
}
