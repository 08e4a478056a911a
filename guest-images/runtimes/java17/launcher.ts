import { copyFile, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Artefact, artefact } from "../../../setup/cache.ts";
import { run } from "../../../setup/command.ts";
import { jdkFolder } from "../../../setup/java.ts";
import { fetchFromMaven, type MavenArtifact } from "../../../setup/maven.ts";

/** AWS's own client, and what it needs. Functions see these classes. */
const clientJars: readonly MavenArtifact[] = [
  {
    group: "com.amazonaws",
    name: "aws-lambda-java-runtime-interface-client",
    version: "2.6.0",
    sha256: "7b503b4b891e259df5268d298f3ad04991675872c035e8997a18027a7ed35941",
  },
  {
    group: "com.amazonaws",
    name: "aws-lambda-java-core",
    version: "1.2.3",
    sha256: "59e36aa26029fbb8f542b023fff86422a5577105764d31839b56d495d73faa5c",
  },
  {
    group: "com.amazonaws",
    name: "aws-lambda-java-serialization",
    version: "1.1.2",
    sha256: "4568d203fa57edf9944df9ae7f6171751aebb2d514f722b98d25b07772a597ec",
  },
];

/** What the launcher's native part is compiled by, and what the client's is called, for a kind of machine. */
export interface LauncherTarget {
  readonly compiler: string;
  readonly clientLibrary: string;
}

/** Where the class library keeps states of random numbers and variables of the environment. */
export const launcherOptions: readonly string[] = [
  "java.base/java.lang",
  "java.base/java.util",
  "java.base/java.util.concurrent",
  "java.base/java.security",
  "java.base/sun.security.provider",
  "jdk.random/jdk.random",
].map((opened) => `--add-opens=${opened}=ALL-UNNAMED`);

/** The class that a virtual machine starts with. */
export const launcherClass = "dev.firn.launcher.Launcher";

const source = join(import.meta.dirname, "launcher");

/** The jars of AWS's client. */
export function fetchClient(): Promise<string[]> {
  return Promise.all(clientJars.map(fetchFromMaven));
}

/**
 * Builds the launcher. The artefact has `classes/`, `jars/`, `libfirn.so` and `libaws-lambda-jni.so`, the native part of AWS's client.
 */
export async function buildLauncher({ compiler, clientLibrary }: LauncherTarget): Promise<Artefact> {
  const jdk = await jdkFolder();
  const files = (await readdir(source, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const contents = files.map(async (file) => [file.slice(source.length), await readFile(file)] as const);
  return artefact({
    kind: `java-launcher-${compiler}`,
    inputs: {
      ...Object.fromEntries(await Promise.all(contents)),
      jdk: await readFile(join(jdk, "release")),
      layout: JSON.stringify([1, clientJars, clientLibrary]),
    },
    async build(directory) {
      const jars = await fetchClient();
      await mkdir(join(directory, "jars"));
      for (const jar of jars) await copyFile(jar, join(directory, "jars", basename(jar)));
      const javac = ["-proc:none", "-Xlint:all,-path", "-Werror", "-g:source,lines"];
      const sources = files.filter((file) => file.endsWith(".java"));
      const classes = join(directory, "classes");
      const to = ["--release", "17", "-cp", jars.join(":"), "-d", classes];
      await run(join(jdk, "bin/javac"), [...javac, ...to, ...sources]);
      const headers = [`-I${join(jdk, "include")}`, `-I${join(jdk, "include/linux")}`];
      const library = ["-Wall", "-Werror", "-O2", "-shared", "-fPIC", "-s", "-Wl,--build-id=none"];
      const out = ["-o", join(directory, "libfirn.so"), join(source, "native/firn.c")];
      await run(compiler, [...library, ...headers, ...out]);
      await extract(jdk, jars[0] ?? "", `jni/${clientLibrary}`, join(directory, "libaws-lambda-jni.so"));
    },
  });
}

async function extract(jdk: string, jar: string, name: string, to: string): Promise<void> {
  const scratch = `${to}.scratch`;
  await mkdir(scratch);
  await run(join(jdk, "bin/jar"), ["--extract", "--file", jar, name], { cwd: scratch });
  await copyFile(join(scratch, name), to);
  await rm(scratch, { recursive: true });
}
