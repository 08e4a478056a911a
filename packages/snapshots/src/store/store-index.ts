import { readFile, rm } from "node:fs/promises";
import { z } from "zod";
import { SnapshotError } from "../errors.ts";
import { type Digest, isDigest } from "./digest.ts";
import { writeDurably } from "./durable-file.ts";
import { absent, type LayoutPaths, temporaryName } from "./image-layout.ts";
import { ANNOTATION, MEDIA_TYPE } from "./media-types.ts";

const entrySchema = z.looseObject({
  mediaType: z.literal(MEDIA_TYPE.manifest),
  digest: z.custom<Digest>(isDigest),
  size: z.int().nonnegative(),
  artifactType: z.string().optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});
const indexSchema = z.looseObject({ schemaVersion: z.literal(2), manifests: z.array(z.unknown()) });

/** One line of the index: a manifest that was published. A tag is a line of its own. */
export type IndexEntry = z.infer<typeof entrySchema>;

/** The tag that a line of the index gives to its manifest. */
export function tagOf(entry: IndexEntry): string | undefined {
  return entry.annotations?.[ANNOTATION.tag];
}

/** `index.json` of a store. It is read once: this process alone writes it. */
export class StoreIndex {
  readonly #paths: LayoutPaths;
  #entries: readonly IndexEntry[];
  /** Lines that this program does not understand. They are somebody's: they stay as they are. */
  readonly foreign: readonly unknown[];
  #writes: Promise<unknown> = Promise.resolve();

  private constructor(paths: LayoutPaths, lines: readonly unknown[]) {
    this.#paths = paths;
    const parsed = lines.map((line) => entrySchema.safeParse(line));
    this.#entries = parsed.flatMap(({ data }) => data ?? []);
    this.foreign = lines.filter((_, index) => !parsed[index]?.success);
  }

  /** Reads the index; an absent one is empty. @throws {SnapshotError} FIRN_STORE_FORMAT. */
  static async open(paths: LayoutPaths): Promise<StoreIndex> {
    const text = await readFile(paths.index, "utf8").catch(absent);
    if (text === undefined) return new StoreIndex(paths, []);
    try {
      return new StoreIndex(paths, indexSchema.parse(JSON.parse(text)).manifests);
    } catch (cause) {
      throw new SnapshotError(
        "FIRN_STORE_FORMAT",
        `${paths.index} is malformed. Move it away: what a catalog names is found without it, tags are lost.`,
        { cause },
      );
    }
  }

  /** All lines that are understood, in the order in which they were added. */
  get entries(): readonly IndexEntry[] {
    return this.#entries;
  }

  /** Replaces the index at once: a crash leaves the old one or the new one. Changes are made one after the other. */
  update(change: (entries: readonly IndexEntry[]) => readonly IndexEntry[]): Promise<void> {
    const update = this.#writes.then(async () => {
      const entries = change(this.#entries);
      const manifests = [...this.foreign, ...entries];
      const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.index, manifests };
      const bytes = new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`);
      const temporary = temporaryName(this.#paths, "index");
      try {
        await writeDurably(temporary, this.#paths.index, bytes);
        this.#entries = entries;
      } finally {
        await rm(temporary, { force: true });
      }
    });
    this.#writes = update.catch(() => {});
    return update;
  }
}
