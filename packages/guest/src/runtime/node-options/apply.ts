import { messageOf } from "../errors/thrown.ts";
import { HEEDED_OPTIONS } from "./options.ts";
import { parseOptions } from "./parse.ts";
import { applyVariables, refuseVariable } from "./variables.ts";

/** Options that are refused with more than their name. */
const ADVICE: ReadonlyMap<string, string> = new Map([
  ["--max-old-space-size", "The heap's limit follows from the function's memory: give it more of that"],
  [
    "--max-old-space-size-percentage",
    "The heap's limit follows from the function's memory: give it more of that",
  ],
  ["--max-semi-space-size", "The heap's limit follows from the function's memory: give it more of that"],
  ["--max-http-header-size", "Set the option maxHeaderSize where you make a server or a request"],
  ["--use-system-ca", "Name a file in NODE_EXTRA_CA_CERTS"],
  ["--use-openssl-ca", "Name a file in NODE_EXTRA_CA_CERTS"],
]);

/**
 * Heeds NODE_OPTIONS and the other variables that Node.js reads when it starts, in a process that was started before anybody knew of the
 * function: what can be done now is done, and everything else is refused by name.
 *
 * @param root Folder of the function's files.
 * @throws {Error} naming what cannot be heeded, and what to do.
 */
export async function heedNodeVariables(
  environment: Readonly<Record<string, string>>,
  root: string,
): Promise<void> {
  for (const [name, value] of Object.entries(environment)) {
    const refusal = refuseVariable(name, value);
    if (refusal !== undefined) throw new Error(refusal);
  }
  const options = parseOptions(
    environment.NODE_OPTIONS ?? "",
    (name) => HEEDED_OPTIONS.get(name)?.hasValue === true,
  );
  for (const { name } of options) if (!HEEDED_OPTIONS.has(name)) throw new Error(refuseOption(name));
  applyVariables(environment);
  for (const { name, value } of options) {
    try {
      await HEEDED_OPTIONS.get(name)?.apply(value ?? "", root);
    } catch (cause) {
      const shown = value === undefined ? name : `${name} ${value}`;
      throw new Error(`NODE_OPTIONS has ${shown}, and that failed: ${messageOf(cause)}`, { cause });
    }
  }
}

function refuseOption(name: string): string {
  const advice = ADVICE.get(name) ?? `Take it out. What is heeded: ${[...HEEDED_OPTIONS.keys()].join(", ")}`;
  return `NODE_OPTIONS has ${name}, which has no effect, because Node.js was started long before the function is deployed. ${advice}.`;
}
