/**
 * What a runtime image says about itself: `runtime.json` beside the image, and `/etc/firn/runtime.json` in it, the same bytes. The
 * README of this folder tells what each field means.
 */
export interface RuntimeManifest {
  readonly manifestVersion: 1;
  /** Of small letters, digits, dots and dashes: the name of its folder. */
  readonly name: string;
  /** Of the language's own program. */
  readonly version: string;
  readonly agentAbi: number;
  /** Program and arguments. `{memory:60%}` stands for that part of the guest's memory, in MiB. */
  readonly command: readonly string[];
  /** Arguments that follow the program in a guest of one processor. */
  readonly oneProcessorArguments: readonly string[];
  readonly interface: "bridge" | "runtime-api";
  /** When the program is started: when the machine boots, and then it waits for code, or as a part of loading a function. */
  readonly start?: "boot" | "load";
  /** Files of a function that must be there and executable. */
  readonly programs?: readonly string[];
  /** Names of runtimes that are not to be had, and what to do in place of each. */
  readonly refusedRuntimes?: Readonly<Record<string, string>>;
  readonly defaultHandler: string;
  readonly handlerExample: string;
  readonly lambdaRuntimes: readonly string[];
  readonly loadEnvironment: readonly string[];
  /** How the host finds the module of a function; without default and extensions the runtime does it itself. */
  readonly entryPoints?: {
    readonly default?: string;
    readonly extensions?: readonly string[];
    readonly packageFile?: string;
  };
}
