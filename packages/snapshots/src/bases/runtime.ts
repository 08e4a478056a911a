import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { SnapshotError } from "../errors.ts";

/** The manifest's file in a runtime's folder. */
const MANIFEST = "runtime.json";

const manifestSchema = z.looseObject({
  manifestVersion: z.literal(1),
  name: z.string().regex(/^[a-z0-9][a-z0-9.-]*$/, "expected small letters, digits, dots and dashes"),
  version: z.string(),
  /** Version of the protocol that its agent speaks. */
  agentAbi: z.int(),
});

/** What a runtime image says about itself. What this package does not look at is kept as it is. */
export type RuntimeManifest = z.infer<typeof manifestSchema>;

/** A runtime: what microVMs are booted with so that they can load code. */
export interface Runtime {
  readonly name: string;
  /** Read-only root file system with agent and runtime. */
  readonly rootDiskPath: string;
  /** An empty formatted image, of which each microVM gets a copy as its scratch disk. */
  readonly scratchPath: string;
  readonly manifest: RuntimeManifest;
}

/**
 * Reads a runtime's folder, which holds `rootfs.erofs`, `scratch.ext4` and `runtime.json`.
 *
 * @throws {SnapshotError} FIRN_FILE_MISSING, FIRN_RUNTIME_INVALID.
 */
export async function readRuntime(folder: string): Promise<Runtime> {
  const path = join(folder, MANIFEST);
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new SnapshotError("FIRN_FILE_MISSING", `The runtime's manifest ${path} cannot be read.`, { cause });
  });
  try {
    const manifest = manifestSchema.parse(JSON.parse(text));
    return {
      name: manifest.name,
      rootDiskPath: join(folder, "rootfs.erofs"),
      scratchPath: join(folder, "scratch.ext4"),
      manifest,
    };
  } catch (cause) {
    const message = `The runtime's manifest ${path} is malformed. Build the runtime again, or name another folder.`;
    throw new SnapshotError("FIRN_RUNTIME_INVALID", message, { cause });
  }
}

/**
 * Reads all runtimes of a folder, each in a folder of its own, by name.
 *
 * @throws {SnapshotError} FIRN_FILE_MISSING if there is none, FIRN_RUNTIME_INVALID.
 */
export async function readRuntimes(folder: string): Promise<Runtime[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const folders = entries.filter((entry) => !entry.name.startsWith(".") && !entry.isFile());
  const runtimes = await Promise.all(folders.map(({ name }) => readRuntime(join(folder, name))));
  if (runtimes.length > 0) return runtimes.sort((one, other) => (one.name < other.name ? -1 : 1));
  throw new SnapshotError(
    "FIRN_FILE_MISSING",
    `There is no runtime in ${folder}: expected folders with rootfs.erofs, scratch.ext4 and ${MANIFEST}.`,
  );
}
