import { readFile, stat } from "node:fs/promises";
import { basename, extname, resolve } from "node:path";
import { create } from "tar";
import { CliError, EXIT } from "./errors.ts";

/** Never part of a function. */
const LEFT_OUT = new Set([".git"]);

/** A function's files as they are sent. */
export interface Archive {
  readonly bytes: Uint8Array;
  readonly contentType: string;
}

/**
 * Reads a zip, tar or tar.gz, or packs a folder.
 *
 * @throws {CliError} if there is no such file or folder.
 */
export async function readArchive(path: string): Promise<Archive> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) {
    throw new CliError(`${path} does not exist. Name a folder, a zip or a tar.`, { exitCode: EXIT.usage });
  }
  if (found.isDirectory()) return packFolder(path);
  const contentType = extname(path) === ".zip" ? "application/zip" : "application/octet-stream";
  return { bytes: await readFile(path), contentType };
}

/** The name of a function that is deployed without one: that of its folder or archive. */
export function defaultName(path: string): string {
  return basename(resolve(path)).replace(/\.(zip|tar|tgz|tar\.gz)$/, "");
}

async function packFolder(folder: string): Promise<Archive> {
  const parts: Uint8Array[] = [];
  const filter = (path: string) => !path.split("/").some((segment) => LEFT_OUT.has(segment));
  for await (const part of create({ cwd: folder, gzip: true, portable: true, filter }, ["."]))
    parts.push(part);
  return { bytes: Buffer.concat(parts), contentType: "application/gzip" };
}
