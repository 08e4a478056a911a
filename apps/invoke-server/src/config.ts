import { homedir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { MEMORY_CLASSES_MIB } from "@firn/functions";
import { z } from "zod";

/** Bad configuration: names the setting and what it may be. */
export class ConfigError extends Error {
  readonly code = "FIRN_CONFIG";

  constructor(message: string) {
    super(message);
    this.name = "ConfigError";
  }
}

const seconds = (fallback: number) => z.coerce.number().positive().max(86_400).default(fallback);

const HOST_NAME = /^(\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|[0-9a-fA-F:]+)$/;
const hostNames = z
  .string()
  .transform((list) => list.split(",").map((name) => name.trim()))
  .refine((names) => names.every((name) => HOST_NAME.test(name)), {
    error: "expected host names without ports, separated by commas",
  });

const schema = z.object({
  port: z.coerce.number().int().min(0).max(65_535).default(8080).describe("TCP port; 0 takes a free one"),
  host: z
    .string()
    .min(1)
    .default("127.0.0.1")
    .describe("Address to listen on. There is no authentication: keep it local"),
  allowedHosts: hostNames
    .refine((names) => !names.includes("*"), { error: "* would let every web page deploy: name the hosts" })
    .default([])
    .describe(
      "Further names of this server, for which its control routes and function URLs answer, separated by commas",
    ),
  functionHosts: hostNames
    .optional()
    .describe(
      "Names for which only function URLs answer; `*` is every one. By default all, unless the server listens on loopback",
    ),
  debugHeaders: z
    .stringbool()
    .default(false)
    .describe(
      "Function URLs tell everybody how a request was started and where its time went, and heed `X-Firn-*` headers",
    ),
  store: z.string().min(1).describe("Folder of the snapshots and the catalog"),
  kernel: z.string().min(1).describe("Uncompressed arm64 kernel Image"),
  runtimes: z.string().min(1).describe("Folder of the runtimes, each in a folder of its own"),
  defaultRuntime: z
    .string()
    .min(1)
    .default("node24")
    .describe("The runtime of functions that name none; its base is made when the server starts"),
  vcpus: z.coerce.number().int().min(1).max(8).default(1).describe("Processors of each microVM"),
  streamLimitMib: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_048_576)
    .default(200)
    .describe("Longest request or answer that is passed on piece by piece"),
  maxInstances: z.coerce
    .number()
    .int()
    .min(1)
    .max(10_000)
    .default(8)
    .describe("MicroVMs at a time, those that wait for a request included"),
  idleSeconds: seconds(600).describe("How long an instance waits for a request before it is closed"),
  drainSeconds: seconds(10).describe("How long requests may take to finish when the server is told to stop"),
  prepareMemoryMib: z.coerce
    .number()
    .refine((mib) => mib === 0 || MEMORY_CLASSES_MIB.some((size) => size === mib), {
      error: `expected 0 or one of ${MEMORY_CLASSES_MIB.join(", ")}`,
    })
    .default(256)
    .describe("The base of this memory size is made when the server starts; 0 for none"),
  poolSize: z.coerce
    .number()
    .int()
    .min(0)
    .max(1000)
    .default(2)
    .describe("VMM processes that wait for cold starts, for each base; 0 for none"),
  poolMemoryMib: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_048_576)
    .default(64)
    .describe("Private memory that they may have together"),
  poolMaxPressure: z.coerce
    .number()
    .min(0)
    .max(100)
    .default(10)
    .describe("None is prepared while more than this share of time, in percent, is lost to a lack of memory"),
  jail: z
    .enum(["auto", "root", "user-namespaces", "minimal"])
    .default("auto")
    .describe(
      "Jail of the VMM processes; `auto` is the best that the host can give, any other one that it cannot is an error",
    ),
  jailFirstId: z.coerce
    .number()
    .int()
    .min(1)
    .max(4_294_901_758)
    .default(2_000_000_000)
    .describe("First of the 65,536 user ids that VMM processes have when root runs the server"),
  jailCgroup: z
    .string()
    .startsWith("/")
    .optional()
    .describe("Directory of the cgroup below which each VMM process gets its own; by default the server's"),
  jailMemoryMib: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_048_576)
    .optional()
    .describe("Most memory of a VMM process, the guest's included"),
  jailCpus: z.coerce
    .number()
    .min(0.01)
    .max(1000)
    .optional()
    .describe("Most CPUs that a VMM process may keep busy"),
  guestConsole: z
    .stringbool()
    .default(false)
    .describe("Keeps each instance's console, to show its end in errors. Slower"),
  deadlineFactor: z.coerce
    .number()
    .min(0.1)
    .max(100)
    .default(1)
    .describe(
      "Multiplies the deadlines of boots, restores and snapshots: 1 fits hardware, an emulated host wants more",
    ),
  logLevel: z
    .enum(["trace", "debug", "info", "warn", "error", "silent"])
    .default("info")
    .describe("How much is logged"),
});

/** What the server is told from outside. */
export type Config = z.infer<typeof schema>;

/** Settings that hold when nothing else is said. */
const FOLDER_DEFAULTS = { store: join(homedir(), ".local", "share", "firn") };

/**
 * Reads the configuration: `--max-instances 4` before `FIRN_MAX_INSTANCES=4` before the default.
 *
 * @throws {ConfigError} naming the first setting that is missing or wrong.
 */
export function readConfig(args: readonly string[], environment: NodeJS.ProcessEnv): Config {
  const names = Object.keys(schema.shape);
  const raw: Record<string, string | undefined> = { ...FOLDER_DEFAULTS };
  for (const name of names) {
    const value = environment[variableOf(name)];
    if (value !== undefined && value !== "") raw[name] = value;
  }
  for (const [flag, value] of Object.entries(readFlags(args, names))) {
    const name = names.find((one) => flagOf(one) === flag);
    if (name !== undefined) raw[name] = value;
  }
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const name = String(issue?.path[0] ?? "");
  throw new ConfigError(`Set ${variableOf(name)} or --${flagOf(name)}: ${issue?.message ?? "it is wrong"}.`);
}

/** What `--help` prints: every setting with its flag, its variable and its default. */
export function usage(): string {
  const described = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }).properties ?? {};
  const lines = Object.entries(described).map(([name, setting]) => {
    const { description, default: fallback, enum: choices } = typeof setting === "boolean" ? {} : setting;
    const known = fallback ?? FOLDER_DEFAULTS[name as keyof typeof FOLDER_DEFAULTS];
    const notes = [
      ...(choices === undefined ? [] : [`one of ${choices.join(", ")}`]),
      ...(known === undefined ? [] : [`default ${known}`]),
    ].join("; ");
    return `  --${flagOf(name)}, ${variableOf(name)}\n      ${description}${notes === "" ? "" : ` (${notes})`}\n`;
  });
  return `Usage: firn-invoke-server [--SETTING VALUE]…

Deploys functions and invokes them over HTTP. A setting is a flag or a variable of the environment; the flag comes first.

${lines.join("")}`;
}

function readFlags(args: readonly string[], names: readonly string[]): Record<string, string> {
  const options = Object.fromEntries(names.map((name) => [flagOf(name), { type: "string" as const }]));
  try {
    return parseArgs({ args: [...args], options, strict: true }).values as Record<string, string>;
  } catch (error) {
    throw new ConfigError((error as Error).message);
  }
}

function variableOf(name: string): string {
  return `FIRN_${name.replace(/[A-Z]/g, "_$&").toUpperCase()}`;
}

function flagOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
