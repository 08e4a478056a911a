import { run, runAsRoot } from "../command.ts";
import { SetupError } from "../errors.ts";
import { isArm } from "../machine.ts";

const everywhere = [
  ...["cargo-web", "rustc-web", "rust-web-clippy", "rustfmt-web", "libstd-rust-web-dev"],
  ...[
    "gcc",
    "g++",
    "libc6-dev",
    "make",
    "bc",
    "bison",
    "flex",
    "libssl-dev",
    "libelf-dev",
    "linux-source-6.12",
  ],
  ...[
    "dpkg-dev",
    "e2fsprogs",
    "erofs-utils",
    "fakeroot",
    "golang-go",
    "maven",
    "openjdk-17-jdk-headless",
    "openssh-client",
    "python3-pip",
    "python3.11",
    "strace",
    "tar",
    "xz-utils",
  ],
];

// What builds for ARM on another machine, and what emulates an ARM host there.
const elsewhere = [
  ...["gcc-aarch64-linux-gnu", "binutils-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
  ...["libstd-rust-web-dev:arm64", "qemu-system-arm", "qemu-system-common"],
];

const apt = ["-q", "-o", "DPkg::Lock::Timeout=300"];
const installTimeoutMs = 30 * 60_000;

/**
 * Installs the Debian packages that are missing, through sudo where this process is not root.
 *
 * @throws {SetupError} NO_SYSTEM_PACKAGES where there is no apt.
 */
export async function installSystemPackages(): Promise<{ cached: boolean }> {
  const wanted = isArm ? everywhere : [...everywhere, ...elsewhere];
  const missing = missingPackages(wanted, await installedPackages(wanted));
  if (missing.length === 0) return { cached: true };
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  if (!isArm) await runAsRoot("dpkg", ["--add-architecture", "arm64"], { env });
  await runAsRoot("apt-get", [...apt, "update"], { env, timeoutMs: installTimeoutMs });
  const install = [...apt, "install", "-y", "--no-install-recommends", ...missing];
  await runAsRoot("apt-get", install, { env, timeoutMs: installTimeoutMs });
  return { cached: false };
}

/** The wanted packages that do not appear among `name:architecture` of what is installed. */
export function missingPackages(wanted: readonly string[], installed: ReadonlySet<string>): string[] {
  const names = new Set([...installed].map((entry) => entry.split(":")[0]));
  return wanted.filter((name) => !(name.includes(":") ? installed.has(name) : names.has(name)));
}

async function installedPackages(names: readonly string[]): Promise<Set<string>> {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query fills this in.
  const format = "${db:Status-Status} ${Package}:${Architecture}\n";
  try {
    const { stdout } = await run("dpkg-query", ["-W", "-f", format, ...names], { allowFailure: true });
    const lines = stdout.split("\n").filter((line) => line.startsWith("installed "));
    return new Set(lines.map((line) => line.slice("installed ".length)));
  } catch (cause) {
    const message =
      "This machine has no dpkg, and setup knows no other way to install packages. Use Debian 12, or install by hand: " +
      names.join(", ");
    throw new SetupError("NO_SYSTEM_PACKAGES", message, { cause });
  }
}
