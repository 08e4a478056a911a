import { readFile } from "node:fs/promises";
import { type CommandDef, defineCommand } from "citty";
import { defaultName, readArchive } from "./archive.ts";
import { Client } from "./client.ts";
import { CliError } from "./errors.ts";
import { formatTable, mebibytes } from "./format.ts";
import { lint } from "./lint.ts";
import { readCommand, readEnvironment, readNumber, usage } from "./options.ts";

const STARTS = ["auto", "warm", "cold", "base", "regular"];
const QUICK_MS = 30_000;
/** A deploy may make a base first, in an emulated machine. */
const SLOW_MS = 20 * 60_000;

/** Where commands read and write. */
export interface Surroundings {
  readonly environment: NodeJS.ProcessEnv;
  readonly write: (text: string | Uint8Array) => void;
  /** For what is no result, such as times. */
  readonly note: (text: string) => void;
}

const server = {
  type: "string",
  description: "URL of the invoke server (FIRN_SERVER, else http://127.0.0.1:8080)",
  valueHint: "url",
} as const;
const name = { type: "positional", description: "The function's name", required: true } as const;

/** The `firn` command with all of its subcommands. */
export function firnCommand({ environment, write, note }: Surroundings): CommandDef {
  const client = (url: string | undefined, timeoutMs: number) =>
    new Client(url ?? environment.FIRN_SERVER ?? "http://127.0.0.1:8080", timeoutMs);

  const deploy = defineCommand({
    meta: { name: "deploy", description: "Deploy a function from a folder, a zip or a tar" },
    args: {
      source: { type: "positional", description: "Folder, zip, tar or tar.gz", required: true },
      name: { type: "string", description: "The function's name (that of the folder)", valueHint: "name" },
      entry: {
        type: "string",
        description: "Module to import (package.json's main, else index)",
        valueHint: "file",
      },
      handler: { type: "string", description: "Name of the export (default)", valueHint: "export" },
      runtime: {
        type: "string",
        description: "Runtime, such as node22 (the server's first)",
        valueHint: "name",
      },
      memory: { type: "string", description: "Memory in MiB (256)", valueHint: "MiB" },
      timeout: { type: "string", description: "Seconds that an invocation may take (3)", valueHint: "s" },
      warm: {
        type: "boolean",
        description:
          "Answer the samples before the snapshot, until they get no faster (package.json's firn.warm)",
        negativeDescription: "Do not answer the samples before the snapshot",
      },
      command: {
        type: "string",
        description:
          "Words that start the HTTP server which the function is, or a list of them in JSON (package.json's firn.command)",
        valueHint: "words",
      },
      port: { type: "string", description: "Port at which that server listens (8080)", valueHint: "number" },
      env: { type: "string", description: "Environment variable; may be repeated", valueHint: "NAME=VALUE" },
      server,
    },
    run: async ({ args, rawArgs }) => {
      const seconds = readNumber("timeout", args.timeout, 0.001, 900);
      const settings = {
        entry: args.entry,
        handler: args.handler,
        runtime: args.runtime,
        memoryMib: readNumber("memory", args.memory, 1, 1_048_576),
        timeoutMs: seconds === undefined ? undefined : Math.ceil(seconds * 1000),
        warm: args.warm,
        command: readCommand(args.command),
        port: readNumber("port", args.port, 1, 65_535),
        environment: readEnvironment(rawArgs, environment),
      };
      const { bytes, contentType } = await readArchive(args.source);
      const target = args.name ?? defaultName(args.source);
      const record = await client(args.server, SLOW_MS).deploy(target, bytes, contentType, settings);
      const { snapshot } = record;
      const size = snapshot
        ? `, snapshot ${mebibytes(snapshot.layerBytes)} of ${mebibytes(snapshot.memoryBytes)}`
        : "";
      write(`${record.name} is ${record.state}, version ${record.version}${size}\n`);
      for (const { message } of record.warnings ?? []) note(`Warning: ${message}`);
    },
  });

  const invoke = defineCommand({
    meta: { name: "invoke", description: "Invoke a function with a JSON event and print its answer" },
    args: {
      name,
      data: { type: "string", description: "The event ({})", valueHint: "json" },
      file: {
        type: "string",
        description: "File that holds the event; - for standard input",
        valueHint: "path",
      },
      start: { type: "string", description: `How to start: ${STARTS.join(", ")}`, valueHint: "mode" },
      server,
    },
    run: async ({ args }) => {
      if (args.data !== undefined && args.file !== undefined) throw usage("Give --data or --file, not both.");
      if (args.start !== undefined && !STARTS.includes(args.start)) {
        throw usage(`--start ${args.start} is none of ${STARTS.join(", ")}.`);
      }
      const event = args.file === undefined ? Buffer.from(args.data ?? "{}") : await readEvent(args.file);
      const answer = await client(args.server, SLOW_MS).invoke(args.name, event, args.start);
      write(answer.payload);
      if (process.stdout.isTTY) write("\n");
      note(`${answer.start} start, ${answer.milliseconds?.toFixed(1) ?? "?"} ms`);
      if (answer.functionError !== "") {
        throw new CliError(`Function ${args.name} failed (${answer.functionError}); its error is above.`);
      }
    },
  });

  const list = defineCommand({
    meta: { name: "list", description: "List the deployed functions" },
    args: { server, json: { type: "boolean", description: "As JSON" } },
    run: async ({ args }) => {
      const functions = await client(args.server, QUICK_MS).list();
      if (args.json) return write(`${JSON.stringify(functions, null, 2)}\n`);
      const rows = functions.map((one) => [
        one.name,
        one.state,
        `${one.memoryMib} MiB`,
        `${one.timeoutMs / 1000} s`,
        one.updated,
        one.failure?.message.split("\n")[0] ?? "",
      ]);
      write(formatTable(["NAME", "STATE", "MEMORY", "TIMEOUT", "UPDATED", "FAILURE"], rows));
    },
  });

  const remove = defineCommand({
    meta: { name: "delete", description: "Delete a function and its snapshot" },
    args: { name, server },
    run: async ({ args }) => {
      await client(args.server, QUICK_MS).delete(args.name);
      write(`${args.name} is deleted\n`);
    },
  });

  const health = defineCommand({
    meta: { name: "health", description: "Tell whether the server can start microVMs" },
    args: { server },
    run: async ({ args }) => {
      const status = await client(args.server, QUICK_MS).health();
      write(`${JSON.stringify(status, null, 2)}\n`);
      const reason = status.kvm.reason ?? status.base.message ?? "";
      if (status.status !== "ready") throw new CliError(`The server is ${status.status}. ${reason}`.trim());
    },
  });

  const lintCommand = defineCommand({
    meta: {
      name: "lint",
      description:
        "Run a Node.js function up to its snapshot on this machine, and tell what clones would share",
    },
    args: {
      folder: { type: "positional", description: "The function's folder", required: true },
      entry: {
        type: "string",
        description: "Module to import (package.json's main, else index)",
        valueHint: "file",
      },
      json: { type: "boolean", description: "As JSON" },
    },
    run: async ({ args }) => {
      const warnings = await lint(args.folder, args.entry);
      if (args.json) write(`${JSON.stringify(warnings, null, 2)}\n`);
      else for (const { code, message } of warnings) write(`Warning: ${message} [${code}]\n`);
      if (warnings.length > 0)
        throw new CliError(`${warnings.length} warnings. A deploy would give them, too.`);
    },
  });

  return defineCommand({
    meta: { name: "firn", description: "Functions in microVMs, started from layered snapshots" },
    subCommands: { deploy, invoke, list, delete: remove, health, lint: lintCommand },
  });
}

async function readEvent(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path === "-" ? "/dev/stdin" : path);
  } catch (cause) {
    throw new CliError(`${path} cannot be read: ${(cause as Error).message}`, { exitCode: 2, cause });
  }
}
