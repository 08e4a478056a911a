import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { artefact } from "./cache.ts";
import { run } from "./command.ts";
import { pythonProgram } from "./python.ts";

const platforms = ["manylinux2014_aarch64", "manylinux_2_28_aarch64"];

/**
 * Packages of PyPI for the Python of guests, as a function's archive has them: built ones alone, nothing of them is run.
 *
 * @param requirements Lines as in requirements.txt: each package with its version and the SHA-256 of its wheel.
 * @returns A folder with their modules.
 */
export async function pythonPackages(requirements: readonly string[]): Promise<string> {
  const text = requirements.join("\n");
  const { directory } = await artefact({
    kind: "python-packages",
    inputs: { text, platforms: platforms.join(" ") },
    async build(into) {
      const file = join(into, "requirements.txt");
      const wheel = [
        "--only-binary=:all:",
        "--no-deps",
        "--require-hashes",
        "--python-version=3.11",
        "--implementation=cp",
      ];
      const target = [...platforms.map((name) => `--platform=${name}`), "--target", into];
      const quiet = ["--quiet", "--disable-pip-version-check", "--no-compile", "--root-user-action=ignore"];
      await writeFile(file, `${text}\n`);
      await run(pythonProgram, ["-m", "pip", "install", ...quiet, ...wheel, ...target, "-r", file]);
      await rm(file);
      await rm(join(into, "bin"), { recursive: true, force: true });
    },
  });
  return directory;
}
