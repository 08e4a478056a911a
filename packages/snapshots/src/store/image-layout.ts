import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { SnapshotError } from "../errors.ts";
import { type Digest, isDigest } from "./digest.ts";
import { syncDirectory, writeDurably } from "./durable-file.ts";
import { MEDIA_TYPE } from "./media-types.ts";

/** Version of the OCI image layout that a store is. */
const LAYOUT_VERSION = "1.0.0";

const entrySchema = z.object({
  mediaType: z.literal(MEDIA_TYPE.manifest),
  digest: z.custom<Digest>(isDigest),
  size: z.int().nonnegative(),
});
const indexSchema = z.object({ schemaVersion: z.literal(2), manifests: z.array(entrySchema) });

/** One line of the index: a published snapshot. */
export type IndexEntry = z.infer<typeof entrySchema>;

/** Where things are in a store's folder. */
export interface LayoutPaths {
  readonly root: string;
  readonly marker: string;
  readonly index: string;
  readonly blobs: string;
  readonly temporary: string;
}

/** The paths of a layout at `root`. */
export function layoutPaths(root: string): LayoutPaths {
  return {
    root,
    marker: join(root, "oci-layout"),
    index: join(root, "index.json"),
    blobs: join(root, "blobs", "sha256"),
    temporary: join(root, "tmp"),
  };
}

/**
 * Makes the folders and files of a layout that are missing, checks those that are there, and removes what a process that is
 * gone left in the temporary folder.
 *
 * @throws {SnapshotError} FIRN_STORE_FORMAT if the folder holds something else or another version.
 */
export async function openLayout(paths: LayoutPaths): Promise<void> {
  await mkdir(paths.blobs, { recursive: true });
  await mkdir(paths.temporary, { recursive: true });
  await sweepTemporary(paths.temporary);
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
  await readIndex(paths);
  await syncDirectory(paths.root);
}

/** Reads the index; an absent one is empty. */
export async function readIndex(paths: LayoutPaths): Promise<IndexEntry[]> {
  const text = await readFile(paths.index, "utf8").catch(absent);
  if (text === undefined) return [];
  try {
    return indexSchema.parse(JSON.parse(text)).manifests;
  } catch (cause) {
    throw new SnapshotError(
      "FIRN_STORE_FORMAT",
      `${paths.index} is malformed. Remove it: snapshots are made again from the deployed functions.`,
      { cause },
    );
  }
}

/** Replaces the index at once: a crash leaves the old one or the new one. */
export async function writeIndex(paths: LayoutPaths, manifests: readonly IndexEntry[]): Promise<void> {
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.index, manifests };
  const bytes = new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`);
  await writeDurably(temporaryName(paths, "index"), paths.index, bytes);
}

let temporaryCount = 0;

/** A name in the temporary folder that nobody has, marked as this process's. */
export function temporaryName(paths: LayoutPaths, label: string): string {
  temporaryCount += 1;
  const unique = `${process.pid}-${Date.now().toString(36)}-${temporaryCount}`;
  return join(paths.temporary, `${unique}-${label}`);
}

async function sweepTemporary(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const owner = Number.parseInt(name, 10);
    if (owner === process.pid || isAlive(owner)) continue;
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code === "ENOENT") return undefined;
  throw error;
}
