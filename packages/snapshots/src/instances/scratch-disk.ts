import { type FileHandle, open, rm } from "node:fs/promises";
import { packDisk, unpackDisk } from "../store/packed-disk.ts";
import type { LocatedSnapshot } from "../store/snapshot-reader.ts";
import type { Store } from "../store/store.ts";

/** The scratch disk of one microVM: an image of its own, which is gone when nobody has it open any more. */
export class ScratchDisk implements AsyncDisposable {
  /** Of the image; to be opened before {@link ScratchDisk.handedOver}. */
  readonly path: string;
  /** Bytes that were written to make it. */
  readonly copiedBytes: number;
  readonly #image: FileHandle | undefined;

  private constructor(path: string, copiedBytes: number, image: FileHandle | undefined) {
    this.path = path;
    this.copiedBytes = copiedBytes;
    this.#image = image;
  }

  /**
   * Makes an image of a packed one, in the store's temporary folder.
   *
   * @param options.keepOpen So that {@link ScratchDisk.pack} can read it later.
   * @throws {SnapshotError} FIRN_SNAPSHOT_CORRUPT.
   */
  static async make(
    store: Pick<Store, "temporaryPath">,
    packedPath: string,
    options: { keepOpen: boolean },
  ): Promise<ScratchDisk> {
    const path = store.temporaryPath("scratch");
    try {
      const { dataBytes } = await unpackDisk(packedPath, path);
      return new ScratchDisk(path, dataBytes, options.keepOpen ? await open(path, "r") : undefined);
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  }

  /** The microVM has it, or there will be none: nobody else finds it any more. */
  async handedOver(): Promise<void> {
    await rm(this.path, { force: true });
  }

  /** Writes what it holds now to a new file of the store, packed. The microVM must stand still. */
  async pack(store: Pick<Store, "temporaryPath">): Promise<string> {
    if (this.#image === undefined) throw new Error("The scratch disk was not kept open.");
    const path = store.temporaryPath("packed-scratch");
    try {
      await packDisk(this.#image, path);
      return path;
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handedOver();
    await this.#image?.close();
  }
}

/** A scratch disk as a snapshot's microVM left it; `undefined` if that had none. @throws {SnapshotError} FIRN_SNAPSHOT_CORRUPT. */
export async function scratchOf(
  store: Pick<Store, "temporaryPath">,
  { scratchPath }: LocatedSnapshot,
  options: { keepOpen: boolean },
): Promise<ScratchDisk | undefined> {
  return scratchPath === undefined ? undefined : ScratchDisk.make(store, scratchPath, options);
}
