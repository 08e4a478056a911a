import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { withLock } from "./lock.ts";

/** Something built once and kept: a kernel, an image, an unpacked package. */
export interface ArtefactRecipe {
  /** The folder in the cache: `kernel`, `rig-image`, … */
  kind: string;
  /** Everything that the result depends on: file contents, package versions, options. */
  inputs: Readonly<Record<string, string | Uint8Array>>;
  /** How many of this kind stay, those that were used last: 4 if not said. */
  kept?: number;
  /** Fills an empty directory. Runs only when the cache has no artefact of these inputs. */
  build(directory: string): Promise<void>;
}

/** Where an artefact lies, and whether it was there already. */
export interface Artefact {
  directory: string;
  cached: boolean;
}

const buildDeadlineMs = 40 * 60_000;
const defaultKept = 4;

/** The directory of everything that Firn builds or downloads outside of the repository. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  if (env.FIRN_CACHE) return resolve(env.FIRN_CACHE);
  if (env.XDG_CACHE_HOME) return join(resolve(env.XDG_CACHE_HOME), "firn");
  return join(homedir(), ".cache", "firn");
}

/** The name of an artefact: a digest over the names and contents of its inputs, in any order. */
export function cacheKey(inputs: ArtefactRecipe["inputs"]): string {
  const hash = createHash("sha256");
  for (const [name, value] of Object.entries(inputs).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const bytes = Buffer.from(value);
    // Lengths keep two different lists of inputs from reading as the same bytes.
    hash.update(`${Buffer.byteLength(name)} ${name} ${bytes.length} `).update(bytes);
  }
  return hash.digest("hex");
}

/** Finds an artefact in the cache or builds it, in a temporary directory that is renamed into place when complete. */
export async function artefact(recipe: ArtefactRecipe, root: string = cacheDirectory()): Promise<Artefact> {
  const home = join(root, recipe.kind);
  const directory = join(home, cacheKey(recipe.inputs));
  if (existsSync(directory)) {
    await touch(directory);
    return { directory, cached: true };
  }
  return withLock(`${directory}.lock`, buildDeadlineMs, async () => {
    if (existsSync(directory)) return { directory, cached: true };
    await mkdir(join(root, "building"), { recursive: true });
    const temporary = await mkdtemp(join(root, "building", `${recipe.kind}-`));
    // Others than the builder read it: the invoke server gives its VMM processes users of their own.
    await chmod(temporary, 0o755);
    try {
      await recipe.build(temporary);
      await rename(temporary, directory);
    } catch (cause) {
      await rm(temporary, { recursive: true, force: true });
      throw cause;
    }
    await removeOld(home, recipe.kept ?? defaultKept);
    return { directory, cached: false };
  });
}

// The time of the last use decides what is removed. A cache of somebody else's may be read-only: then nothing is removed.
async function touch(directory: string): Promise<void> {
  const now = new Date();
  await utimes(directory, now, now).catch(() => undefined);
}

async function removeOld(home: string, kept: number): Promise<void> {
  const names = (await readdir(home)).filter((name) => /^[0-9a-f]{64}$/.test(name));
  const dated = await Promise.all(
    names.map(async (name) => ({ name, used: (await stat(join(home, name))).mtimeMs })),
  );
  dated.sort((a, b) => b.used - a.used);
  for (const { name } of dated.slice(kept)) await rm(join(home, name), { recursive: true, force: true });
}
