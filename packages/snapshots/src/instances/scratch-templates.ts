import { closeSync, openSync } from "node:fs";
import { open, rm, stat } from "node:fs/promises";
import { SnapshotError } from "../errors.ts";
import { packDisk } from "../store/packed-disk.ts";
import type { Store } from "../store/store.ts";

/** The empty scratch disks of runtimes, packed: read once, however many microVMs are booted. */
export class ScratchTemplates {
  readonly #store: Store;
  readonly #packed = new Map<string, Promise<string>>();
  readonly #descriptors: number[] = [];

  constructor(store: Store) {
    this.#store = store;
  }

  /** The packed form of an image, a path of this process alone: the file has no name any more. @throws {SnapshotError} FIRN_FILE_MISSING. */
  async packed(image: string): Promise<string> {
    const found = await stat(image, { bigint: true }).catch(() => undefined);
    if (!found?.isFile()) {
      const message = `The scratch disk ${image} is not there. Build the runtime, or name its folder.`;
      throw new SnapshotError("FIRN_FILE_MISSING", message);
    }
    const identity = `${image} ${found.ino} ${found.size} ${found.mtimeNs}`;
    const known = this.#packed.get(identity) ?? this.#pack(image);
    this.#packed.set(identity, known);
    known.catch(() => this.#packed.delete(identity));
    return known;
  }

  /** Gives the packed images up. */
  close(): void {
    for (const descriptor of this.#descriptors.splice(0)) closeSync(descriptor);
    this.#packed.clear();
  }

  async #pack(image: string): Promise<string> {
    const path = this.#store.temporaryPath("scratch-template");
    const source = await open(image, "r");
    try {
      await packDisk(source, path);
      const descriptor = openSync(path, "r");
      this.#descriptors.push(descriptor);
      return `/proc/self/fd/${descriptor}`;
    } finally {
      await rm(path, { force: true });
      await source.close();
    }
  }
}
