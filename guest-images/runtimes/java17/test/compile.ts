import { copyFile, mkdir, readdir, writeFile } from "node:fs/promises";
import { basename, delimiter, join } from "node:path";
import { run } from "../../../../setup/command.ts";
import { jdkFolder } from "../../../../setup/java.ts";
import { fetchFromMaven } from "../../../../setup/maven.ts";
import { fetchClient } from "../launcher.ts";

/** The hooks of CRaC, which functions bring themselves. */
const crac = {
  group: "io.github.crac",
  name: "org-crac",
  version: "0.1.3",
  sha256: "d77a0c628d1399ee682738851dca13d060fef51601aedad6d1efcd3185f9af09",
};

/** Compiles all Java files of a folder, and those below it, for `java17`. */
export async function compileJava(sources: string, folder: string): Promise<void> {
  const jdk = await jdkFolder();
  const files = (await readdir(sources, { recursive: true })).filter((name) => name.endsWith(".java"));
  const path = [...(await fetchClient()), await fetchFromMaven(crac)].join(delimiter);
  const options = ["--release", "17", "-proc:none", "-cp", path, "-d", folder];
  await run(join(jdk, "bin/javac"), [...options, ...files.map((name) => join(sources, name))]);
}

/** Compiles the functions of this folder, with what they need beside them. */
export async function compileFunctions(folder: string): Promise<void> {
  await compileJava(join(import.meta.dirname, "functions"), folder);
  const hooks = await fetchFromMaven(crac);
  await mkdir(join(folder, "lib"));
  await copyFile(hooks, join(folder, "lib", basename(hooks)));
  await writeFile(join(folder, "beside.txt"), "a file\n");
}
