import { run } from "../packages/cli/src/run.ts";
import { callerDirectory } from "./caller.ts";

// The `firn` command of this checkout, from its sources. Paths are those of whoever called npm.
process.chdir(callerDirectory());
process.exitCode = await run(process.argv.slice(2), {
  environment: process.env,
  write: (text) => process.stdout.write(text),
  note: (text) => process.stderr.write(`${text}\n`),
});
