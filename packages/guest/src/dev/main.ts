#!/usr/bin/env node
import { statSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { startDevServer } from "./dev-server.ts";
import { LoadError } from "./function-process.ts";

const USAGE = `Usage: firn-guest dev FILE [--port 3000] [--host 127.0.0.1] [--handler NAME]

Serves a function on this machine, without a microVM. What it prints and throws is shown here.
`;

const exitCode = await run(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error instanceof LoadError ? error.message : error);
  return 1;
});
if (exitCode !== 0) process.exit(exitCode);

async function run(args: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(USAGE);
    return 0;
  }
  let options: ReturnType<typeof read>;
  try {
    options = read(args);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  const { url } = await startDevServer(options);
  console.log(`${basename(options.file)} is served at ${url}`);
  return 0;
}

function read(args: readonly string[]) {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      port: { type: "string", default: "3000" },
      host: { type: "string", default: "127.0.0.1" },
      handler: { type: "string", default: "" },
    },
  });
  const [command, file, ...rest] = positionals;
  if (command !== "dev" || file === undefined || rest.length > 0)
    throw new Error("Say which file: dev FILE.");
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) throw new Error(`There is no file ${file}.`);
  const port = Number(values.port);
  if (!/^\d+$/.test(values.port) || port > 65_535) throw new Error(`--port ${values.port} is no TCP port.`);
  const path = resolve(file);
  return {
    file,
    root: dirname(path),
    entry: basename(path),
    handler: values.handler,
    port,
    host: values.host,
  };
}
