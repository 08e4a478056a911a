import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { repository } from "./packages.ts";

const bin = join(repository, "node_modules", ".bin");

/** Runs a program, of this repository's tools if it has one of that name. Fails with all that the program printed. */
export async function run(
  program: string,
  args: readonly string[],
  cwd: string = repository,
): Promise<string> {
  const env = {
    ...process.env,
    PATH: `${bin}:${process.env.PATH}`,
    NO_COLOR: "1",
    npm_config_loglevel: "error",
  };
  try {
    const options = { cwd, env, maxBuffer: 64 << 20 };
    const { stdout } = await promisify(execFile)(program, [...args], options);
    return stdout;
  } catch (cause) {
    const { stdout = "", stderr = "" } = cause as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(" ")} failed in ${cwd}:\n${stdout}${stderr}`, { cause });
  }
}
