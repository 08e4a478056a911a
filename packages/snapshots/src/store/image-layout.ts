import { chmod, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { SnapshotError } from "../errors.ts";
import { syncDirectory, writeDurably } from "./durable-file.ts";

/** Version of the OCI image layout that a store is. */
const LAYOUT_VERSION = "1.0.0";

/** Where things are in a store's folder. */
export interface LayoutPaths {
  readonly root: string;
  readonly marker: string;
  readonly index: string;
  readonly blobs: string;
  readonly temporary: string;
  readonly leases: string;
  readonly lock: string;
  readonly reserve: string;
}

/** The paths of a layout at `root`. */
export function layoutPaths(root: string): LayoutPaths {
  return {
    root,
    marker: join(root, "oci-layout"),
    index: join(root, "index.json"),
    blobs: join(root, "blobs", "sha256"),
    temporary: join(root, "tmp"),
    leases: join(root, "leases"),
    lock: join(root, "lock"),
    reserve: join(root, "reserve"),
  };
}

/** Makes the store's own folder, so that its lock can be taken. Nobody else may look into it, whatever the umask. */
export async function makeRoot(paths: LayoutPaths): Promise<void> {
  await mkdir(paths.root, { recursive: true, mode: 0o700 });
  await chmod(paths.root, 0o700);
}

/**
 * Makes the folders and files of a layout that are missing, checks those that are there, and removes what a former process left in the
 * temporary folder. The store's lock must be held: then all of it is left over.
 *
 * @throws {SnapshotError} FIRN_STORE_FORMAT if the folder holds something else or another version.
 */
export async function openLayout(paths: LayoutPaths): Promise<void> {
  for (const path of [join(paths.root, "blobs"), paths.blobs, paths.temporary, paths.leases]) {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await chmod(path, 0o700);
  }
  for (const name of await readdir(paths.temporary)) {
    await rm(join(paths.temporary, name), { recursive: true, force: true });
  }
  const marker = await readFile(paths.marker, "utf8").catch(absent);
  if (marker === undefined) {
    const bytes = new TextEncoder().encode(`${JSON.stringify({ imageLayoutVersion: LAYOUT_VERSION })}\n`);
    await writeDurably(temporaryName(paths, "oci-layout"), paths.marker, bytes);
  } else if (!marker.includes(`"${LAYOUT_VERSION}"`)) {
    throw new SnapshotError(
      "FIRN_STORE_FORMAT",
      `${paths.root} is no OCI image layout of version ${LAYOUT_VERSION}. Use an empty folder as store.`,
    );
  }
  await syncDirectory(paths.root);
}

let temporaryCount = 0;

/** A name in the temporary folder that nobody has. */
export function temporaryName(paths: LayoutPaths, label: string): string {
  temporaryCount += 1;
  return join(paths.temporary, `${temporaryCount}-${label}`);
}

/** For `catch`: `undefined` in place of a file that is not there. */
export function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code === "ENOENT") return undefined;
  throw error;
}
