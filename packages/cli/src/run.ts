import { type CommandDef, renderUsage, runCommand } from "citty";
import { firnCommand, type Surroundings } from "./commands.ts";
import { CliError, EXIT } from "./errors.ts";

/**
 * Runs the command line.
 *
 * @param args What follows `firn`.
 * @returns The exit status: 0, 1 if the server refused or the function failed, 2 for bad usage, 3 if no server answers.
 */
export async function run(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const command = firnCommand(surroundings);
  const { write, note } = surroundings;
  const wantsHelp = args.length === 0 || args[0] === "help" || args.includes("--help") || args.includes("-h");
  if (wantsHelp) {
    const subCommand = subCommandOf(
      command,
      args.find((arg) => !arg.startsWith("-")),
    );
    write(`${await renderUsage(subCommand ?? command, subCommand === undefined ? undefined : command)}\n`);
    return args.length === 0 ? EXIT.usage : 0;
  }
  try {
    rejectUnknownFlags(command, args);
    await runCommand(command, { rawArgs: [...args] });
    return 0;
  } catch (error) {
    if (error instanceof CliError) {
      note(`firn: ${error.message}${error.code === undefined ? "" : ` [${error.code}]`}`);
      if (error.details !== "") note(error.details);
      return error.exitCode;
    }
    // citty's own errors are about the command line.
    note(`firn: ${error instanceof Error ? error.message : String(error)}`);
    return error instanceof Error && error.name === "CLIError" ? EXIT.usage : EXIT.failed;
  }
}

function subCommandOf(command: CommandDef, name: string | undefined): CommandDef | undefined {
  const subCommands = command.subCommands as Record<string, CommandDef>;
  return name === undefined || !Object.hasOwn(subCommands, name) ? undefined : subCommands[name];
}

/** citty ignores flags that it does not know, which hides a typing error. */
function rejectUnknownFlags(command: CommandDef, args: readonly string[]): void {
  const known = (subCommandOf(command, args[0])?.args ?? {}) as Record<string, { type?: string }>;
  for (const arg of args.slice(1)) {
    if (arg === "--") return;
    const flag = /^--([^=]+)/.exec(arg)?.[1];
    if (flag === undefined) continue;
    const negated = flag.startsWith("no-") ? flag.slice("no-".length) : "";
    if (Object.hasOwn(known, negated) && known[negated]?.type === "boolean") continue;
    if (!Object.hasOwn(known, flag) || known[flag]?.type === "positional") {
      throw new CliError(`--${flag} is no flag of firn ${args[0]}. See firn ${args[0]} --help.`, {
        exitCode: EXIT.usage,
      });
    }
  }
}
