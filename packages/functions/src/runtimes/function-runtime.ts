import { z } from "zod";
import type { EntryPoints } from "../archive/find-entry.ts";
import { FunctionsError } from "../errors.ts";

/** What a runtime's manifest says about functions. What only its agent reads is left to that. */
const schema = z.looseObject({
  name: z.string(),
  version: z.string().default(""),
  defaultHandler: z.string().default(""),
  handlerExample: z.string().default(""),
  lambdaRuntimes: z.array(z.string()).default([]),
  loadEnvironment: z.array(z.string()).default([]),
  programs: z.array(z.string().min(1)).default([]),
  refusedRuntimes: z.record(z.string(), z.string()).default({}),
  entryPoints: z
    .strictObject({
      default: z.string().min(1).nullable().default(null),
      extensions: z.array(z.string().startsWith(".")).default([]),
      packageFile: z.string().min(1).nullable().default(null),
    })
    .nullable()
    .default(null),
});

/** A runtime as those who deploy see it. */
export interface FunctionRuntime {
  /** How a deploy names it. */
  readonly name: string;
  /** Of the language's own program. */
  readonly version: string;
  /** The handler of a function that names none. */
  readonly defaultHandler: string;
  /** A handler as error messages show it. */
  readonly handlerExample: string;
  /** Names of AWS Lambda's runtimes that this one stands for. */
  readonly lambdaRuntimes: readonly string[];
  /** Variables of a function that must be set before its code is loaded, and so are part of its snapshot; `*` for all. */
  readonly loadEnvironment: readonly string[];
  /** Files of a function that must be there and executable. */
  readonly programs: readonly string[];
  /** Names of runtimes that are not to be had, and what to do in place of each. */
  readonly refusedRuntimes: Readonly<Record<string, string>>;
  /** How the module that a handler is in is found; `null` if the runtime finds it itself. */
  readonly entryPoints: EntryPoints | null;
}

/** The runtimes that functions can be deployed for, by name. */
export class FunctionRuntimes {
  readonly #byName: ReadonlyMap<string, FunctionRuntime>;

  /**
   * @param manifests What the runtimes say about themselves; the first one is that of a deploy which names none.
   * @throws {FunctionsError} FIRN_RUNTIME_INVALID.
   */
  constructor(manifests: readonly unknown[]) {
    this.#byName = new Map(manifests.map(parse).map((runtime) => [runtime.name, runtime]));
  }

  /** All of them, the default first. */
  list(): FunctionRuntime[] {
    return [...this.#byName.values()];
  }

  /** The runtime for programs that need none: the first one that wants a program of each function; the default if there is none. */
  forPrograms(): FunctionRuntime {
    return this.list().find(({ programs }) => programs.length > 0) ?? this.get(undefined);
  }

  /**
   * A runtime by its own name, or by one that AWS Lambda has for it; the default if there is no name.
   *
   * @throws {FunctionsError} FIRN_RUNTIME_UNKNOWN, naming those that exist.
   */
  get(name: string | undefined): FunctionRuntime {
    const runtimes = this.list();
    const found =
      name === undefined
        ? runtimes[0]
        : (this.#byName.get(name) ?? runtimes.find(({ lambdaRuntimes }) => lambdaRuntimes.includes(name)));
    if (found !== undefined) return found;
    const refusing = runtimes.find(({ refusedRuntimes }) => Object.hasOwn(refusedRuntimes, name ?? ""));
    if (refusing !== undefined) {
      const advice = refusing.refusedRuntimes[name ?? ""];
      throw new FunctionsError("FIRN_RUNTIME_UNKNOWN", `There is no runtime ${name} here. ${advice}`);
    }
    const names = runtimes
      .map((one) => [...new Set([one.name, ...one.lambdaRuntimes])].join(" or "))
      .join(", ");
    throw new FunctionsError(
      "FIRN_RUNTIME_UNKNOWN",
      `There is no runtime ${name ?? "at all"} here. ${names === "" ? "Install one." : `Use one of: ${names}.`}`,
    );
  }
}

function parse(manifest: unknown): FunctionRuntime {
  const result = schema.safeParse(manifest);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new FunctionsError(
    "FIRN_RUNTIME_INVALID",
    `A runtime's manifest is wrong at ${issue?.path.join(".")}: ${issue?.message}. Build the runtime again.`,
  );
}
