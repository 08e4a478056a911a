import { parseArgs } from "node:util";

/** What the agent says on the command line. */
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

/**
 * Reads `--bridge=N --gate=N --root=PATH [--addon=PATH]`.
 *
 * @throws {Error} naming the argument that is missing or wrong.
 */
export function parseRuntimeArguments(args: readonly string[]): RuntimeArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      bridge: { type: "string" },
      gate: { type: "string" },
      root: { type: "string" },
      addon: { type: "string" },
    },
  });
  if (values.root === undefined)
    throw new Error("--root=PATH, the folder of the function's files, is missing.");
  return {
    bridge: parseDescriptor("--bridge", values.bridge),
    gate: parseDescriptor("--gate", values.gate),
    root: values.root,
    addon: values.addon,
  };
}

function parseDescriptor(name: string, text: string | undefined): number {
  if (text === undefined || !/^\d{1,6}$/.test(text))
    throw new Error(`${name}=N, a descriptor, is missing or no number.`);
  return Number(text);
}
