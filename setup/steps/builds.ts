import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  buildGuestImages,
  defaultRuntime,
  type GuestImages,
  type GuestKernel,
} from "../../guest-images/images.ts";
import { run } from "../command.ts";
import { jobs, repository } from "../machine.ts";
import { armTarget, cargo, rustEnvironment, targetDirectory } from "../rust.ts";

const bin = join(repository, "node_modules", ".bin");
const buildTimeoutMs = 40 * 60_000;

/** The environment of npm scripts: Node.js 24 of this repository, Debian's Rust, no reports to anybody. */
export function scriptEnvironment(): Record<string, string | undefined> {
  const rust = rustEnvironment();
  return { ...rust, PATH: `${bin}:${rust.PATH}`, TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1" };
}

/**
 * Runs a task of every package, in the order of their dependencies. For the build that means the binding and `firn-vmm` for ARM
 * too: turbo leaves it to cargo to tell what is new there.
 */
export async function turbo(task: string): Promise<void> {
  const args = [
    "run",
    task,
    "--env-mode=loose",
    "--ui=stream",
    `--concurrency=${jobs}`,
    "--output-logs=errors-only",
  ];
  await run(join(bin, "turbo"), args, {
    cwd: repository,
    env: scriptEnvironment(),
    timeoutMs: buildTimeoutMs,
  });
}

/** Runs a script of one package. */
export async function packageScript(name: string, script: string): Promise<void> {
  const args = ["run", script, "--silent", "--workspace", name];
  await run("npm", args, { cwd: repository, env: scriptEnvironment(), timeoutMs: buildTimeoutMs });
}

/** Builds what the runtime images are made of, and the images; those of runtimes in the folder of FIRN_MORE_RUNTIMES, too. */
export async function buildGuest(): Promise<GuestImages> {
  await cargo(["build", "--release", "--target", armTarget, "--package", "firn-guest-agent"]);
  await packageScript("@firn/guest", "build");
  await packageScript("@firn/guest", "build:addon");
  const parts = {
    agent: join(targetDirectory(), armTarget, "release", "firn-agent"),
    guest: join(repository, "packages", "guest", "dist"),
  };
  const { FIRN_MORE_RUNTIMES: more } = process.env;
  return buildGuestImages(parts, more);
}

/** The variables by which tests find Debian's kernel, as a guest kernel. */
export function stockVariables({ image, initrd }: GuestKernel): Record<string, string> {
  return { FIRN_STOCK_KERNEL: image, FIRN_STOCK_INITRD: initrd ?? "" };
}

/**
 * The variables by which tests and the invoke server find the images. They are also written to a file of this checkout, for
 * `setup/arm-runner`.
 */
export async function publishImages(
  images: GuestImages,
  more: Readonly<Record<string, string>> = {},
): Promise<Record<string, string>> {
  const env = {
    FIRN_GUEST_KERNEL: images.kernel,
    FIRN_GUEST_RUNTIMES: images.runtimes,
    FIRN_GUEST_ROOTFS: join(images.runtimes, defaultRuntime, "rootfs.erofs"),
    ...more,
  };
  const directory = join(repository, ".cache");
  await mkdir(directory, { recursive: true });
  const lines = Object.entries(env).map(([name, value]) => `${name}=${value}\n`);
  const temporary = join(directory, `images.env.${process.pid}`);
  await writeFile(temporary, lines.join(""));
  await rename(temporary, join(directory, "images.env"));
  return env;
}
