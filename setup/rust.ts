import { homedir } from "node:os";
import { join } from "node:path";
import { type CommandOptions, type CommandResult, run } from "./command.ts";
import { repository } from "./machine.ts";

export const armTarget = "aarch64-unknown-linux-gnu";

const cargoTimeoutMs = 40 * 60_000;

/**
 * The environment in which cargo is Debian's, with the compiler that Debian's standard library for ARM was made by. One from
 * rustup that comes first on the path would not fit.
 */
export function rustEnvironment(env: NodeJS.ProcessEnv = process.env): Record<string, string | undefined> {
  const cargoHome = env.CARGO_HOME ?? join(homedir(), ".cargo");
  return {
    CARGO: "/usr/bin/cargo",
    RUSTC: "/usr/bin/rustc",
    RUSTDOC: "/usr/bin/rustdoc",
    // cargo looks for `cargo-clippy` in its home first, unless that is on the path already.
    PATH: `/usr/bin:${env.PATH ?? ""}:${join(cargoHome, "bin")}`,
    RUSTUP_TOOLCHAIN: undefined,
    // These would stand in for the flags in .cargo/config.toml.
    RUSTFLAGS: undefined,
    CARGO_ENCODED_RUSTFLAGS: undefined,
  };
}

/** Runs Debian's cargo in the repository. */
export function cargo(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const env = { ...rustEnvironment(), ...options.env };
  return run("/usr/bin/cargo", args, { cwd: repository, timeoutMs: cargoTimeoutMs, ...options, env });
}

/** Where cargo puts what it builds. */
export function targetDirectory(env: NodeJS.ProcessEnv = process.env): string {
  return env.CARGO_TARGET_DIR ?? join(repository, "target");
}
