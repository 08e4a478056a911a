import { createWriteStream } from "node:fs";
import { copyFile, lstat, mkdir, readdir, readlink, symlink } from "node:fs/promises";
import { dirname, join, posix, resolve, sep } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { FunctionsError } from "../errors.ts";

/** How much an app may hold. */
export interface AppLimits {
  /** Sum of all files' lengths in bytes. */
  readonly maxBytes: number;
  /** Number of files, folders and links. */
  readonly maxEntries: number;
}

/** 256 MiB in 100,000 files. */
export const DEFAULT_APP_LIMITS: AppLimits = { maxBytes: 256 * 1024 * 1024, maxEntries: 100_000 };

/**
 * Fills a folder with the entries of an archive that is not trusted: nothing is written outside the folder, links point
 * inside it, and the limits hold for what comes out, not for what the archive announces.
 */
export class AppFolder {
  readonly #root: string;
  readonly #limits: AppLimits;
  readonly #links: { path: string; target: string }[] = [];
  #bytes = 0;
  #entries = 0;

  /** @param root An existing, empty folder. */
  constructor(root: string, limits: AppLimits) {
    this.#root = root;
    this.#limits = limits;
  }

  /** Adds a folder. */
  async addFolder(name: string): Promise<void> {
    await mkdir(this.#admit(name), { recursive: true, mode: 0o755 }).catch(conflict(name));
  }

  /** Adds a file with the bytes of a stream. */
  async addFile(name: string, contents: Readable, executable: boolean): Promise<void> {
    const path = this.#admit(name);
    await mkdir(dirname(path), { recursive: true, mode: 0o755 }).catch(conflict(name));
    const count = this.#counter();
    await pipeline(
      contents,
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          count(chunk.length);
          yield chunk;
        }
      },
      createWriteStream(path, { flags: "wx", mode: executable ? 0o755 : 0o644 }),
    ).catch(conflict(name));
  }

  /** Adds a file that an archive calls a hard link to a former one. */
  async addHardLink(name: string, target: string): Promise<void> {
    const path = this.#admit(name);
    const source = join(this.#root, checkedName(target));
    const found = await lstat(source).catch(() => undefined);
    if (!found?.isFile()) throw invalid(`Hard link ${name} points to ${target}, which is no file before it.`);
    this.#counter()(found.size);
    await mkdir(dirname(path), { recursive: true, mode: 0o755 }).catch(conflict(name));
    await copyFile(source, path).catch(conflict(name));
  }

  /** Notes a symbolic link; {@link finish} makes it, so that nothing is ever written through one. */
  addLink(name: string, target: string): void {
    const path = this.#admit(name);
    checkLink(name, target);
    this.#links.push({ path, target });
  }

  /** Makes the links. */
  async finish(): Promise<void> {
    for (const { path, target } of this.#links) {
      await mkdir(dirname(path), { recursive: true, mode: 0o755 });
      await symlink(target, path).catch(conflict(path.slice(this.#root.length + 1)));
    }
    await checkFolder(this.#root, this.#limits);
  }

  #admit(name: string): string {
    const checked = checkedName(name);
    this.#entries += 1;
    if (this.#entries > this.#limits.maxEntries) throw tooMany(this.#limits);
    return join(this.#root, checked);
  }

  #counter(): (bytes: number) => void {
    return (bytes) => {
      this.#bytes += bytes;
      if (this.#bytes > this.#limits.maxBytes) throw tooLarge(this.#limits);
    };
  }
}

/**
 * Checks a folder that is to become an app image: regular files, folders, and links that stay inside.
 *
 * @throws {FunctionsError} FIRN_APP_INVALID or FIRN_APP_TOO_LARGE.
 */
export async function checkFolder(root: string, limits: AppLimits): Promise<void> {
  let bytes = 0;
  let entries = 0;
  const pending = [""];
  for (let folder = pending.pop(); folder !== undefined; folder = pending.pop()) {
    for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
      const name = posix.join(folder, entry.name);
      entries += 1;
      if (entries > limits.maxEntries) throw tooMany(limits);
      if (entry.isDirectory()) pending.push(name);
      else if (entry.isSymbolicLink()) checkLink(name, await readlink(join(root, name)));
      else if (entry.isFile()) bytes += (await lstat(join(root, name))).size;
      else throw invalid(`${name} is neither a file, a folder nor a link: an app holds nothing else.`);
      if (bytes > limits.maxBytes) throw tooLarge(limits);
    }
  }
}

function checkedName(name: string): string {
  const normal = posix.normalize(name).replace(/\/+$/, "");
  const outside = normal === ".." || normal.startsWith("../") || normal.startsWith("/");
  if (
    name === "" ||
    outside ||
    name.includes("\0") ||
    name.includes("\\") ||
    Buffer.byteLength(name) > 4000
  ) {
    throw invalid(
      `The archive holds a file named ${JSON.stringify(name.slice(0, 200))}: names are relative and stay inside.`,
    );
  }
  return normal === "" ? "." : normal;
}

function checkLink(name: string, target: string): void {
  const root = resolve("/app");
  const resolved = resolve(root, posix.dirname(name), target);
  const inside = resolved === root || resolved.startsWith(root + sep);
  if (!inside || posix.isAbsolute(target) || target === "" || target.includes("\0")) {
    throw invalid(
      `Link ${name} points to ${JSON.stringify(target.slice(0, 200))}, outside the app. Replace it by a file.`,
    );
  }
}

function conflict(name: string): (error: NodeJS.ErrnoException) => never {
  return (error) => {
    if (error.code === "EEXIST" || error.code === "ENOTDIR" || error.code === "EISDIR") {
      throw invalid(`The archive holds ${name} twice, as different things.`);
    }
    throw error;
  };
}

function invalid(message: string): FunctionsError {
  return new FunctionsError("FIRN_APP_INVALID", message);
}

function tooLarge(limits: AppLimits): FunctionsError {
  return new FunctionsError(
    "FIRN_APP_TOO_LARGE",
    `The app's files have more than ${limits.maxBytes} bytes together. Leave out what the function does not need.`,
  );
}

function tooMany(limits: AppLimits): FunctionsError {
  return new FunctionsError(
    "FIRN_APP_TOO_LARGE",
    `The app has more than ${limits.maxEntries} files and folders.`,
  );
}
