import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { FirnVmmError } from "./errors.ts";

/** What is resolved from; tests pass their own. */
export interface Surroundings {
  platform: string;
  arch: string;
  libc: "gnu" | "musl" | "unknown";
  env: { readonly [name: string]: string | undefined };
}

/** Where the two native parts are. */
export interface Located {
  addonPath: string;
  binaryPath: string;
}

/** Platforms for which a package is built. */
const PLATFORMS: ReadonlySet<string> = new Set(["linux-arm64-gnu"]);

/**
 * Finds the addon and the `firn-vmm` binary: each where FIRN_VMM_ADDON or FIRN_VMM_BINARY says, else in the package of this
 * platform, else where a checkout of Firn builds that package.
 *
 * @throws {FirnVmmError} FIRN_PLATFORM_UNSUPPORTED, or FIRN_VMM_BINARY_MISSING naming what was tried.
 */
export function locate(surroundings: Surroundings = currentSurroundings()): Located {
  const platform = describe(surroundings);
  return {
    addonPath:
      fromEnvironment("FIRN_VMM_ADDON", surroundings) ??
      fromPackage(`firn-vmm.${platform}.node`, platform, "addon"),
    binaryPath:
      fromEnvironment("FIRN_VMM_BINARY", surroundings) ?? fromPackage("bin/firn-vmm", platform, "binary"),
  };
}

function fromEnvironment(variable: string, { env }: Surroundings): string | undefined {
  const named = env[variable];
  if (named === undefined || named === "") return undefined;
  const path = resolve(named);
  if (existsSync(path)) return path;
  throw new FirnVmmError("FIRN_VMM_BINARY_MISSING", `${variable} names ${path}, which does not exist.`);
}

function fromPackage(file: string, platform: string, what: string): string {
  if (!PLATFORMS.has(platform)) {
    const supported = [...PLATFORMS].join(", ");
    throw new FirnVmmError(
      "FIRN_PLATFORM_UNSUPPORTED",
      `Firn's microVMs run on arm64 Linux with KVM; this is ${platform} (supported: ${supported}). ` +
        "In a checkout of Firn, `npm run rig` brings up an emulated ARM host.",
    );
  }
  const packageName = `@firn/vmm-${platform}`;
  const checkout = fileURLToPath(new URL(`../npm/${platform}`, import.meta.url));
  const path = resolveInPackage(`${packageName}/${file}`) ?? join(checkout, file);
  if (existsSync(path)) return path;
  throw new FirnVmmError(
    "FIRN_VMM_BINARY_MISSING",
    `The ${what} for ${platform} is missing: the package ${packageName} is not installed, and ${path} does not exist. ` +
      `Install it (\`npm install ${packageName}\`; \`npm install --omit=optional\` leaves it out), build it in a checkout ` +
      "(`npm run build -w @firn/vmm-napi`), or set FIRN_VMM_ADDON and FIRN_VMM_BINARY.",
  );
}

function resolveInPackage(specifier: string): string | undefined {
  try {
    return createRequire(import.meta.url).resolve(specifier);
  } catch {
    return undefined;
  }
}

function describe({ platform, arch, libc }: Surroundings): string {
  return platform === "linux" ? `${platform}-${arch}-${libc}` : `${platform}-${arch}`;
}

function currentSurroundings(): Surroundings {
  return { platform: process.platform, arch: process.arch, libc: currentLibc(), env: process.env };
}

function currentLibc(): Surroundings["libc"] {
  if (process.platform !== "linux") return "unknown";
  // Without `excludeNetwork`, which the types do not know yet, the report resolves the name of every network peer.
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork: boolean };
  const { excludeNetwork } = report;
  report.excludeNetwork = true;
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } };
  report.excludeNetwork = excludeNetwork;
  return header.glibcVersionRuntime === undefined ? "musl" : "gnu";
}
