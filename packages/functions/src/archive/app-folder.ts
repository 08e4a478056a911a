import { constants, createWriteStream } from "node:fs";
import { chmod, copyFile, lstat, mkdir, readdir, readlink, symlink } from "node:fs/promises";
import { join, posix } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type AppLimits, invalidApp, tooLarge, tooMany } from "./app-errors.ts";
import { AppTree } from "./app-tree.ts";
import { checkedName } from "./entry-name.ts";

/**
 * Fills a folder with the entries of an archive that is not trusted: nothing is written outside the folder, links point
 * inside it, and the limits hold for what comes out, not for what the archive announces.
 */
export class AppFolder {
  readonly #root: string;
  readonly #limits: AppLimits;
  readonly #links: { name: string; target: string }[] = [];
  readonly #folders = new Set<string>(["."]);
  #bytes = 0;
  #entries = 0;

  /** @param root An existing, empty folder. */
  constructor(root: string, limits: AppLimits) {
    this.#root = root;
    this.#limits = limits;
  }

  /** Adds a folder. */
  addFolder(name: string): Promise<void> {
    return this.#makeFolder(this.#admit(name));
  }

  /** Adds a file with the bytes of a stream. */
  async addFile(name: string, contents: Readable, executable: boolean): Promise<void> {
    const checked = this.#admit(name);
    const path = join(this.#root, checked);
    await this.#makeFolder(posix.dirname(checked));
    const count = this.#counter();
    await pipeline(
      contents,
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          count(chunk.length);
          yield chunk;
        }
      },
      createWriteStream(path, { flags: "wx" }),
    ).catch(conflict(name));
    await chmod(path, executable ? 0o755 : 0o644);
  }

  /** Adds a file that an archive calls a hard link to a former one. */
  async addHardLink(name: string, target: string): Promise<void> {
    const checked = this.#admit(name);
    const source = join(this.#root, checkedName(target));
    const found = await lstat(source).catch(() => undefined);
    if (!found?.isFile())
      throw invalidApp(`Hard link ${name} points to ${target}, which is no file before it.`);
    this.#counter()(found.size);
    await this.#makeFolder(posix.dirname(checked));
    await copyFile(source, join(this.#root, checked), constants.COPYFILE_EXCL).catch(conflict(name));
    await chmod(join(this.#root, checked), found.mode & 0o777);
  }

  /** Notes a symbolic link; {@link finish} makes it, so that nothing is ever written through one. */
  addLink(name: string, target: string): void {
    const checked = this.#admit(name);
    if (target === "" || target.includes("\0")) throw leadsOut(name, target);
    this.#links.push({ name: checked, target });
  }

  /** Makes the links, once all folders that they are in are there. */
  async finish(): Promise<void> {
    for (const { name } of this.#links) await this.#makeFolder(posix.dirname(name));
    for (const { name, target } of this.#links) {
      await symlink(target, join(this.#root, name)).catch(conflict(name));
    }
    await chmod(this.#root, 0o755);
    await checkFolder(this.#root, this.#limits);
  }

  #admit(name: string): string {
    const checked = checkedName(name);
    this.#entries += 1;
    if (this.#entries > this.#limits.maxEntries) throw tooMany(this.#limits);
    return checked;
  }

  /** Makes a folder and those above it, each readable for all whatever this process's umask says. */
  async #makeFolder(name: string): Promise<void> {
    if (this.#folders.has(name)) return;
    await this.#makeFolder(posix.dirname(name));
    await mkdir(join(this.#root, name)).catch(conflict(name));
    await chmod(join(this.#root, name), 0o755);
    this.#folders.add(name);
  }

  #counter(): (bytes: number) => void {
    return (bytes) => {
      this.#bytes += bytes;
      if (this.#bytes > this.#limits.maxBytes) throw tooLarge(this.#limits);
    };
  }
}

/**
 * Checks a folder that is to become an app image: regular files, folders, and links that stay inside, also where one leads
 * through another.
 *
 * @throws {FunctionsError} FIRN_APP_INVALID or FIRN_APP_TOO_LARGE.
 */
export async function checkFolder(root: string, limits: AppLimits): Promise<void> {
  const tree = new AppTree(root);
  let bytes = 0;
  let entries = 0;
  const pending = [""];
  for (let folder = pending.pop(); folder !== undefined; folder = pending.pop()) {
    for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
      const name = posix.join(folder, entry.name);
      entries += 1;
      if (entries > limits.maxEntries) throw tooMany(limits);
      if (entry.isDirectory()) pending.push(name);
      else if (entry.isSymbolicLink()) {
        const { kind } = await tree.resolve(name);
        if (kind === "outside" || kind === "circle")
          throw leadsOut(name, await readlink(join(root, name)), kind);
      } else if (entry.isFile()) bytes += (await lstat(join(root, name))).size;
      else throw invalidApp(`${name} is neither a file, a folder nor a link: an app holds nothing else.`);
      if (bytes > limits.maxBytes) throw tooLarge(limits);
    }
  }
}

function leadsOut(name: string, target: string, kind: "outside" | "circle" = "outside"): Error {
  const where = kind === "outside" ? "outside the app" : "in a circle";
  const shown = JSON.stringify(target.slice(0, 200));
  return invalidApp(`Link ${name} points to ${shown}, which leads ${where}. Replace it by a file.`);
}

function conflict(name: string): (error: NodeJS.ErrnoException) => never {
  return (error) => {
    if (error.code === "EEXIST" || error.code === "ENOTDIR" || error.code === "EISDIR") {
      throw invalidApp(`The archive holds ${name} twice, as different things.`);
    }
    throw error;
  };
}
