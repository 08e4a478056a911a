import { CliError, EXIT } from "./errors.ts";

/** Reads a number of a flag. */
export function readNumber(
  flag: string,
  text: string | undefined,
  minimum: number,
  maximum: number,
): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() !== "" && value >= minimum && value <= maximum) return value;
  throw usage(`--${flag} ${text} is no number from ${minimum} to ${maximum}.`);
}

/**
 * Reads every `--env NAME=VALUE` of a command line; the parser keeps only the last.
 *
 * @param variables Where `--env NAME` without a value takes its value from.
 */
export function readEnvironment(
  args: readonly string[],
  variables: NodeJS.ProcessEnv,
): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [index, arg] of args.entries()) {
    const pair = arg === "--env" ? args[index + 1] : arg.startsWith("--env=") ? arg.slice(6) : undefined;
    if (pair === undefined) continue;
    const [, name = "", , value] = /^([^=]*)(=(.*))?$/s.exec(pair) ?? [];
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw usage(`--env ${pair}: expected NAME=VALUE.`);
    const known = value ?? variables[name];
    if (known === undefined)
      throw usage(`--env ${name}: this variable is not set here. Write ${name}=VALUE.`);
    environment[name] = known;
  }
  return environment;
}

/** Reads a command: a list in JSON as it is, other words with spaces between them as a list. */
export function readCommand(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const trimmed = text.trim();
  if (trimmed === "") throw usage("--command has no words.");
  return trimmed.startsWith("[") ? trimmed : JSON.stringify(trimmed.split(/\s+/));
}

/** An error of how a command is written. */
export function usage(message: string): CliError {
  return new CliError(message, { exitCode: EXIT.usage });
}
