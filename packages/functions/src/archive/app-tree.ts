import { constants, type Stats } from "node:fs";
import { lstat, open, readlink } from "node:fs/promises";
import { join, posix } from "node:path";
import { invalidApp } from "./app-errors.ts";

/** As many as Linux follows. */
const MAX_LINKS = 40;

/** Where a path inside an app ends, once all of its links are followed. */
export type Resolved =
  | { readonly kind: "file" | "folder"; readonly path: string; readonly size: number }
  /** Nothing is there, or what is there is neither a file nor a folder; a link may point to it all the same. */
  | { readonly kind: "missing" }
  /** It leads out of the app, or in a circle. */
  | { readonly kind: "outside" | "circle" };

/**
 * The files of an app that is not trusted. Links are followed here, one by one and never beyond the app's root; the kernel is only ever
 * given paths without links.
 */
export class AppTree {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** Follows a path, with slashes and relative to the root, as the kernel would if the root were all there is. */
  async resolve(path: string): Promise<Resolved> {
    let real: string[] = [];
    let size = 0;
    let kind: "file" | "folder" | "missing" = "folder";
    let links = 0;
    const rest = path.split("/").reverse();
    for (let step = rest.pop(); step !== undefined; step = rest.pop()) {
      if (step === "" || step === ".") continue;
      if (step === "..") {
        if (real.pop() === undefined) return { kind: "outside" };
        if (kind !== "missing") kind = "folder";
        continue;
      }
      if (kind === "file") kind = "missing";
      const next = [...real, step];
      const found: Stats | undefined = kind === "missing" ? undefined : await this.#lstat(next.join("/"));
      if (found?.isSymbolicLink()) {
        links += 1;
        if (links > MAX_LINKS) return { kind: "circle" };
        const target = await readlink(this.#pathOf(next.join("/")));
        if (posix.isAbsolute(target)) return { kind: "outside" };
        rest.push(...target.split("/").reverse());
        continue;
      }
      real = next;
      size = found?.size ?? 0;
      kind = found?.isDirectory() ? "folder" : found?.isFile() ? "file" : "missing";
    }
    return kind === "missing" ? { kind } : { kind, path: real.join("/"), size };
  }

  /**
   * Reads a text, without a byte order mark.
   *
   * @returns `undefined` if there is no such file in the app.
   * @throws {FunctionsError} FIRN_APP_INVALID if it has more than `maxBytes`.
   */
  async readText(path: string, maxBytes: number): Promise<string | undefined> {
    const found = await this.resolve(path);
    if (found.kind !== "file") return undefined;
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    const file = await open(this.#pathOf(found.path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(maxBytes + 1), 0, maxBytes + 1, 0);
      if (bytesRead > maxBytes) throw invalidApp(`${path} has more than ${maxBytes} bytes.`);
      return buffer.toString("utf8", 0, bytesRead).replace(/^\ufeff/, "");
    } finally {
      await file.close();
    }
  }

  #lstat(path: string): Promise<Stats | undefined> {
    return lstat(this.#pathOf(path)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ENAMETOOLONG") return undefined;
      throw error;
    });
  }

  #pathOf(path: string): string {
    return join(this.root, path);
  }
}
