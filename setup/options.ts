import { parseArgs } from "node:util";
import { SetupError } from "./errors.ts";

/** What `npm run up` is told. */
export interface UpOptions {
  /** Invoke every function, print the table, and end. */
  once: boolean;
  port: number;
  /** Rigs only: the version of the interrupt controller. */
  gic: 2 | 3;
}

/**
 * Reads the command line of `npm run up`.
 *
 * @throws {SetupError} RIG_BAD_ARGUMENT
 */
export function parseUpOptions(argv: readonly string[]): UpOptions {
  const usage = "Usage: npm run up -- [--once] [--port PORT] [--gic 2|3]";
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        once: { type: "boolean", default: false },
        port: { type: "string", default: "8080" },
        gic: { type: "string", default: "3" },
      },
    });
    const [port, gic] = [Number(values.port), Number(values.gic)];
    if (!Number.isInteger(port) || port < 1 || port > 65535) throw new Error(`${values.port} is no port`);
    if (gic !== 2 && gic !== 3) throw new Error(`There is no GICv${values.gic} here`);
    return { once: values.once, port, gic };
  } catch (cause) {
    throw new SetupError("RIG_BAD_ARGUMENT", `${(cause as Error).message}.\n${usage}`, { cause });
  }
}
