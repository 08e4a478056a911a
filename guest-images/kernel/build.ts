import { copyFile, mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Artefact, artefact } from "../../setup/cache.ts";
import { run } from "../../setup/command.ts";
import { installedVersion } from "../../setup/debian.ts";
import { SetupError } from "../../setup/errors.ts";
import { jobs, toolPrefix } from "../../setup/machine.ts";
import { ignoredOptions } from "./options.ts";

const series = "6.12";
const sourcePackage = `linux-source-${series}`;
const makeArguments = [
  "ARCH=arm64",
  `CROSS_COMPILE=${toolPrefix}`,
  // The same sources and options give the same bytes, whoever builds them, wherever, whenever.
  "KBUILD_BUILD_TIMESTAMP=1970-01-01",
  "KBUILD_BUILD_USER=firn",
  "KBUILD_BUILD_HOST=firn",
];

/** A third of the source, which no kernel of ours has a use for. */
const unneeded = ["drivers/gpu/drm/amd/include", "tools/perf", "tools/testing"];

/** Builds Firn's guest kernel. The artefact holds `Image` and `config`. */
export function buildFirnKernel(): Promise<Artefact> {
  return buildKernel("kernel", join(import.meta.dirname, "firn.config"));
}

/**
 * Builds a kernel for arm64 from Debian's kernel source, with the options of a file on top of `allnoconfig`. The artefact holds
 * `Image` and `config`.
 */
export async function buildKernel(kind: string, configFile: string): Promise<Artefact> {
  const config = await readFile(configFile);
  const compiler = await run(`${toolPrefix}gcc`, ["-dumpfullversion"]);
  return artefact({
    kind,
    inputs: {
      config,
      source: await installedVersion(sourcePackage),
      compiler: compiler.stdout.trim(),
      make: makeArguments.join(" "),
    },
    build: (directory) => compile(directory, configFile, config.toString("utf8")),
  });
}

async function compile(directory: string, configFile: string, wanted: string): Promise<void> {
  const source = join(directory, "source");
  const output = join(directory, "output");
  await mkdir(source);
  const unpack = ["-xf", `/usr/src/${sourcePackage}.tar.xz`, "--strip-components=1", "-C", source];
  await run("tar", [...unpack, ...unneeded.map((path) => `--exclude=${sourcePackage}/${path}`)]);
  const make = [`O=${output}`, ...makeArguments];
  await run("make", [...make, `KCONFIG_ALLCONFIG=${configFile}`, "allnoconfig"], { cwd: source });
  const ignored = ignoredOptions(wanted, await readFile(join(output, ".config"), "utf8"));
  if (ignored.length > 0) {
    const message = `${sourcePackage} does not take ${ignored.join(", ")}. Correct ${configFile}.`;
    throw new SetupError("KERNEL_OPTION_IGNORED", message);
  }
  await run("make", [...make, `-j${jobs}`, "Image"], { cwd: source, timeoutMs: 35 * 60_000 });
  await copyFile(join(output, "arch/arm64/boot/Image"), join(directory, "Image"));
  await copyFile(join(output, ".config"), join(directory, "config"));
  await rm(source, { recursive: true });
  await rm(output, { recursive: true });
}
