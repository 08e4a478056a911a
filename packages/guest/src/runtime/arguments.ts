import { parseArgs } from "node:util";

/** What the agent says to the process that it starts. */
export interface RuntimeArguments {
  /** Descriptor of the stream to and from the agent. */
  readonly bridge: number;
  /** Descriptor on which the runtime blocks from its quiescence until a resume. */
  readonly gate: number;
  /** Descriptor for what the function prints, with the invocation that prints it; without one, it goes the usual way. */
  readonly log: number | undefined;
  /** Folder of the function's files. */
  readonly root: string;
  /** Path of the addon that reseeds OpenSSL; beside the runtime by default. */
  readonly addon: string | undefined;
}

/** Variables that name the descriptors. */
const BRIDGE = "FIRN_BRIDGE_FD";
const GATE = "FIRN_GATE_FD";
const LOG = "FIRN_LOG_FD";

/**
 * Takes `--root=PATH [--addon=PATH]` from the command line, and the numbers of descriptors from the environment. Nothing of it is there for the
 * function to see.
 *
 * @throws {Error} naming what is missing or wrong.
 */
export function takeRuntimeArguments(): RuntimeArguments {
  const { values } = parseArgs({
    args: process.argv.splice(2),
    options: {
      root: { type: "string" },
      addon: { type: "string" },
    },
  });
  if (values.root === undefined)
    throw new Error("--root=PATH, the folder of the function's files, is missing.");
  return {
    bridge: takeDescriptor(BRIDGE),
    gate: takeDescriptor(GATE),
    log: process.env[LOG] === undefined ? undefined : takeDescriptor(LOG),
    root: values.root,
    addon: values.addon,
  };
}

function takeDescriptor(variable: string): number {
  const text = process.env[variable];
  delete process.env[variable];
  if (text === undefined || !/^\d{1,6}$/.test(text)) {
    throw new Error(`${variable}, a descriptor, is not set, or no number.`);
  }
  return Number(text);
}
