import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { env } from "node:process";

/** A Rust compiler and the cargo that belongs to it. */
export interface Toolchain {
  rustc: string;
  cargo: string;
}

/**
 * The first toolchain that can compile for `target`: what RUSTC names, else the distribution's, which has the standard library
 * for ARM where `npm run up` installed it, else what is on the path.
 *
 * @throws {Error} when none can, naming those tried.
 */
export function findToolchain(target: string): Toolchain {
  const named = env.RUSTC;
  const candidates = [...(named === undefined ? [] : [named]), "/usr/bin/rustc", "rustc"];
  for (const rustc of candidates) {
    const asked = spawnSync(rustc, ["--print", "target-libdir", "--target", target], { encoding: "utf8" });
    if (asked.status === 0 && existsSync(asked.stdout.trim())) return { rustc, cargo: cargoBeside(rustc) };
  }
  throw new Error(
    `No Rust toolchain has a standard library for ${target} (tried ${candidates.join(", ")}). ` +
      "Run `npm run up`, which installs one, or name yours by RUSTC and CARGO.",
  );
}

function cargoBeside(rustc: string): string {
  if (!rustc.includes("/")) return env.CARGO ?? "cargo";
  const beside = join(dirname(rustc), "cargo");
  return existsSync(beside) ? beside : (env.CARGO ?? "cargo");
}

/** The triple of this machine. */
export function hostTarget(): string {
  return process.arch === "arm64" ? "aarch64-unknown-linux-gnu" : "x86_64-unknown-linux-gnu";
}

/**
 * The environment of a cargo run for `target`. RUSTFLAGS overrides what `.cargo/config.toml` says for the target, so that
 * the addon, a shared library, is never linked statically and the binary always is.
 */
export function cargoEnvironment(
  toolchain: Toolchain,
  target: string,
  staticLibc: boolean,
): NodeJS.ProcessEnv {
  const linker = `CARGO_TARGET_${target.toUpperCase().replaceAll("-", "_")}_LINKER`;
  const crossLinker = target === hostTarget() ? {} : { [linker]: `${target.replace("-unknown", "")}-gcc` };
  const path = toolchain.rustc.includes("/") ? `${dirname(toolchain.rustc)}:${env.PATH}` : env.PATH;
  return {
    ...crossLinker,
    ...env,
    PATH: path,
    CARGO: toolchain.cargo,
    RUSTC: toolchain.rustc,
    RUSTFLAGS: `-C target-feature=${staticLibc ? "+" : "-"}crt-static`,
  };
}
