// Builds what `packages/vmm` loads. Without arguments: the platform package for arm64 Linux, addon and firn-vmm. With `--host`:
// the addon alone, quickly, for this machine, into `packages/vmm/.cache`, where the tests look for it.

import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, renameSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { cargoEnvironment, findToolchain, hostTarget } from "./toolchain.ts";

const crate = dirname(import.meta.dirname);
const repository = join(crate, "..", "..");
const vmmPackage = join(repository, "packages", "vmm");
const ARM = "aarch64-unknown-linux-gnu";

if (process.argv.includes("--host")) {
  buildAddon(hostTarget(), [], join(vmmPackage, ".cache"));
} else {
  const platformPackage = join(vmmPackage, "npm", "linux-arm64-gnu");
  buildAddon(ARM, ["--profile", "addon"], platformPackage);
  buildBinary(ARM, join(platformPackage, "bin", "firn-vmm"));
}

/** Leaves `firn-vmm.<platform>.node` in `outputDirectory`, and the generated types beside the crate. */
function buildAddon(target: string, profile: readonly string[], outputDirectory: string): void {
  mkdirSync(outputDirectory, { recursive: true });
  const types = relative(outputDirectory, join(crate, "gen", "binding.d.ts"));
  const napi = join(repository, "node_modules", ".bin", "napi");
  const args = ["build", "--platform", "--no-js", "--target", target, ...profile];
  // By this Node.js: the path begins with the compiler's directory, where an older one may be.
  run(
    process.execPath,
    [napi, ...args, "--output-dir", outputDirectory, "--dts", types],
    cargoEnvironment(findToolchain(target), target, false),
  );
}

function buildBinary(target: string, destination: string): void {
  const toolchain = findToolchain(target);
  const environment = cargoEnvironment(toolchain, target, true);
  run(
    toolchain.cargo,
    ["build", "--release", "--package", "firn-vmm", "--bin", "firn-vmm", "--target", target],
    environment,
  );
  mkdirSync(dirname(destination), { recursive: true });
  const built = join(targetDirectory(toolchain.cargo, environment), target, "release", "firn-vmm");
  // Renamed into place: a program that runs off a network file system must not change under it.
  const temporary = `${destination}.${process.pid}`;
  copyFileSync(built, temporary);
  chmodSync(temporary, 0o755);
  renameSync(temporary, destination);
}

function targetDirectory(cargo: string, env: NodeJS.ProcessEnv): string {
  const args = ["metadata", "--format-version", "1", "--no-deps"];
  const metadata = execFileSync(cargo, args, { cwd: crate, env, encoding: "utf8" });
  return JSON.parse(metadata).target_directory;
}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv): void {
  const { status, error } = spawnSync(command, args, { cwd: crate, env, stdio: "inherit" });
  if (status === 0) return;
  console.error(
    `${command} ${args.join(" ")} failed${error === undefined ? ` with status ${status}` : `: ${error.message}`}`,
  );
  process.exit(1);
}
