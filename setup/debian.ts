import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { artefact } from "./cache.ts";
import { run, runAsRoot } from "./command.ts";
import { SetupError } from "./errors.ts";

/** A Debian package for ARM in the version that this machine's package lists offer. */
export interface DebianPackage {
  name: string;
  version: string;
  /** `arm64`, or `all` for one that suits every machine. */
  architecture: string;
}

/**
 * The packages for ARM that the named ones need, themselves included, as apt resolves them for an empty machine.
 *
 * @throws {SetupError} PACKAGE_UNKNOWN when apt knows no such packages.
 */
export async function resolveForArm(names: readonly string[]): Promise<DebianPackage[]> {
  // apt takes a second or two to answer, and answers the same until its lists change.
  const { directory } = await artefact({
    kind: "apt-resolution",
    inputs: { names: names.join(" "), lists: await describeLists() },
    // Every runtime and every kernel has its own.
    kept: 32,
    build: async (into) => writeFile(join(into, "packages"), await simulate(names)),
  });
  return parseSimulation(await readFile(join(directory, "packages"), "utf8"));
}

async function describeLists(): Promise<string> {
  const lists = "/var/lib/apt/lists";
  const names = (await readdir(lists)).filter((name) => name.endsWith("_Packages")).sort();
  const described = names.map(async (name) => {
    const { mtimeMs, size } = await stat(join(lists, name));
    return `${name} ${size} ${mtimeMs}`;
  });
  return (await Promise.all(described)).join("\n");
}

async function simulate(names: readonly string[]): Promise<string> {
  const scratch = await mkdtemp(join(tmpdir(), "firn-apt-"));
  try {
    const status = join(scratch, "status");
    await writeFile(status, "");
    const options = [
      `Dir::State::status=${status}`,
      "APT::Architecture=arm64",
      "APT::Architectures=arm64",
      "Debug::NoLocking=1",
    ].flatMap((option) => ["-o", option]);
    const args = ["-s", "-qq", ...options, "--no-install-recommends", "install", ...names];
    const { stdout } = await run("apt-get", args, { env: { LC_ALL: "C" } });
    return stdout;
  } catch (cause) {
    const message = `apt cannot resolve ${names.join(", ")} for arm64. Run \`apt-get update\` and look at its output.`;
    throw new SetupError("PACKAGE_UNKNOWN", message, { cause });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Reads the `Inst name (version source [architecture])` lines of `apt-get -s install`. */
export function parseSimulation(output: string): DebianPackage[] {
  const lines = output.matchAll(/^Inst (\S+) \((\S+) [^)]*\[(\w+)\]\)/gm);
  const packages = [...lines].map(([, name = "", version = "", architecture = ""]) => ({
    name,
    version,
    architecture,
  }));
  return packages.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Downloads packages for ARM, without installing any, and unpacks them over each other into `root`. */
export async function unpackForArm(packages: readonly DebianPackage[], root: string): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), "firn-debs-"));
  const names = packages.map(({ name, version, architecture }) =>
    architecture === "all" ? `${name}=${version}` : `${name}:${architecture}=${version}`,
  );
  try {
    const download = () => run("apt-get", ["-qq", "download", ...names], { cwd: scratch });
    await download().catch(async () => {
      // Old package lists name versions that the mirrors no longer have.
      await runAsRoot("apt-get", ["-qq", "update"]);
      await download();
    });
    await mkdir(root, { recursive: true });
    for (const deb of (await readdir(scratch)).sort()) await unpack(join(scratch, deb), root);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

// `dpkg-deb -x` would replace the links /bin and /lib with directories; tar is told to keep them. What packages ship with
// special ownership or device nodes is of no use here, so an ordinary user may unpack.
async function unpack(deb: string, root: string): Promise<void> {
  const pipeline = 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink --no-same-owner -C "$2"';
  await run("bash", ["-o", "pipefail", "-c", pipeline, "unpack", deb, root]);
}

/** The version of a package that is installed on this machine. */
export async function installedVersion(name: string): Promise<string> {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query fills this in.
  const args = ["-W", "-f", "${db:Status-Status} ${Version}", name];
  const { stdout } = await run("dpkg-query", args, { allowFailure: true });
  const [state, version] = stdout.split(" ");
  if (state === "installed" && version !== undefined) return version;
  const message = `The Debian package ${name} is not installed. Run \`npm run up\`, which installs it.`;
  throw new SetupError("PACKAGE_UNKNOWN", message);
}
