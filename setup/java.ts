import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Artefact, artefact } from "./cache.ts";
import { run } from "./command.ts";
import { resolveForArm, unpackForArm } from "./debian.ts";
import { SetupError } from "./errors.ts";

/** Its modules for ARM are linked by this machine's own tools of the same release. */
const jdkPackage = "openjdk-17-jdk-headless";

/** The folder of this machine's JDK 17, whatever `java` is on the path. */
export async function jdkFolder(): Promise<string> {
  const machines = "/usr/lib/jvm";
  const names = await readdir(machines).catch(() => []);
  const name = names.find((one) => /^java-17-openjdk-\w+$/.test(one));
  if (name !== undefined) return join(machines, name);
  const message = `The Debian package ${jdkPackage} is not installed. Run \`npm run up\`, which installs it.`;
  throw new SetupError("PACKAGE_UNKNOWN", message);
}

/**
 * A Java of its own for ARM, linked from Debian's modules. The artefact has `bin/java`, `lib/` and `conf/`.
 *
 * @param modules Those that are linked, with what they need.
 * @param leftOut Paths that are removed again.
 */
export async function linkJavaForArm(
  modules: readonly string[],
  leftOut: readonly string[],
): Promise<Artefact> {
  const jdk = (await resolveForArm([jdkPackage])).filter(({ name }) => name === jdkPackage);
  const host = await jdkFolder();
  return artefact({
    kind: "java-arm64",
    inputs: {
      packages: JSON.stringify(jdk),
      linker: await readFile(join(host, "release")),
      layout: JSON.stringify([1, modules, leftOut]),
    },
    async build(directory) {
      const root = join(directory, "package");
      await unpackForArm(jdk, root);
      const linked = join(directory, "java");
      // Not --strip-debug, which calls this machine's objcopy on files for ARM.
      const options = ["--strip-java-debug-attributes", "--no-header-files", "--no-man-pages"];
      const jmods = join(root, "usr/lib/jvm/java-17-openjdk-arm64/jmods");
      const what = ["--module-path", jmods, "--add-modules", modules.join(","), "--output", linked];
      await run(join(host, "bin/jlink"), [...options, ...what]);
      for (const path of leftOut) await rm(join(linked, path), { recursive: true, force: true });
      await rm(root, { recursive: true });
    },
  });
}
