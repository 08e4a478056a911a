import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { SetupError } from "./errors.ts";

/** A kernel module, ready to be loaded. */
export interface KernelModule {
  name: string;
  bytes: Buffer;
}

/**
 * The named modules of an unpacked Debian kernel package and all that they depend on, in the order in which they load.
 *
 * @throws {SetupError} MODULE_UNKNOWN when the package lacks one of them.
 */
export async function loadModules(packageRoot: string, names: readonly string[]): Promise<KernelModule[]> {
  const files = new Map<string, string>();
  for (const entry of await readdir(packageRoot, { recursive: true, withFileTypes: true })) {
    if (/\.ko(\.xz)?$/.test(entry.name))
      files.set(moduleName(entry.name), join(entry.parentPath, entry.name));
  }
  const ordered = new Map<string, KernelModule>();
  const visit = async (name: string): Promise<void> => {
    if (ordered.has(name)) return;
    const file = files.get(name);
    if (file === undefined) {
      const message = `The kernel in ${packageRoot} has no module ${name}. Is it built in? Then do not ask for it.`;
      throw new SetupError("MODULE_UNKNOWN", message);
    }
    const bytes = await readModule(file);
    for (const dependency of dependencies(bytes)) await visit(dependency);
    ordered.set(name, { name, bytes });
  };
  for (const name of names) await visit(moduleName(name));
  return [...ordered.values()];
}

/** What a module says that it needs, in its `.modinfo` section. */
export function dependencies(module: Buffer): string[] {
  const marker = "\0depends=";
  const start = module.indexOf(marker);
  if (start < 0) return [];
  const from = start + marker.length;
  const list = module.subarray(from, module.indexOf(0, from)).toString("latin1");
  return list === "" ? [] : list.split(",").map(moduleName);
}

// The kernel takes `-` and `_` in a module's name for the same.
function moduleName(file: string): string {
  return basename(file)
    .replace(/\.ko(\.xz)?$/, "")
    .replaceAll("-", "_");
}

async function readModule(file: string): Promise<Buffer> {
  if (!file.endsWith(".xz")) return readFile(file);
  const { stdout } = await promisify(execFile)("xz", ["-dc", file], {
    encoding: "buffer",
    maxBuffer: 256 * 1024 * 1024,
  });
  return stdout;
}
