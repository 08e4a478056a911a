import { parseArgs } from "node:util";

/** What the agent says to the process that it starts. */
export interface RuntimeArguments {
  /** Descriptor of the stream to and from the agent. */
  readonly bridge: number;
  /** Descriptor on which the runtime blocks from its quiescence until a resume. */
  readonly gate: number;
  /** Folder of the function's files. */
  readonly root: string;
  /** Path of the addon that reseeds OpenSSL; beside the runtime by default. */
  readonly addon: string | undefined;
}

/** Variables that name the two descriptors. */
const BRIDGE = "FIRN_BRIDGE_FD";
const GATE = "FIRN_GATE_FD";

/**
 * Takes `--root=PATH [--addon=PATH]` from the command line, and FIRN_BRIDGE_FD and FIRN_GATE_FD from the environment. Nothing of it is
 * there for the function to see.
 *
 * @throws {Error} naming what is missing or wrong.
 */
export function takeRuntimeArguments(): RuntimeArguments {
  const { values } = parseArgs({
    args: process.argv.splice(2),
    options: {
      root: { type: "string" },
      addon: { type: "string" },
      bridge: { type: "string" },
      gate: { type: "string" },
    },
  });
  if (values.root === undefined)
    throw new Error("--root=PATH, the folder of the function's files, is missing.");
  return {
    bridge: parseDescriptor(BRIDGE, values.bridge),
    gate: parseDescriptor(GATE, values.gate),
    root: values.root,
    addon: values.addon,
  };
}

function parseDescriptor(variable: string, argument: string | undefined): number {
  const text = process.env[variable] ?? argument;
  delete process.env[variable];
  if (text === undefined || !/^\d{1,6}$/.test(text)) {
    throw new Error(`${variable}, a descriptor, is not set, or no number.`);
  }
  return Number(text);
}
