import { execFile } from "node:child_process";
import { mkdir, open, rm, stat } from "node:fs/promises";
import { promisify } from "node:util";
import { type Descriptor, MEDIA_TYPE, type Store } from "@firn/snapshots";
import { FunctionsError } from "../errors.ts";
import { type AppLimits, DEFAULT_APP_LIMITS, invalidApp } from "./app-errors.ts";
import { AppFolder, checkFolder } from "./app-folder.ts";
import { type AppSettings, readAppSettings, type ServerCommand } from "./app-settings.ts";
import { AppTree } from "./app-tree.ts";
import { type EntryPoints, findEntry } from "./find-entry.ts";
import { requireProgram } from "./require-program.ts";
import { unpackTar } from "./unpack-tar.ts";
import { unpackZip } from "./unpack-zip.ts";

/** Where an app's files come from. */
export type AppSource =
  | { readonly directory: string }
  /** A zip, a tar or a tar.gz file; which one is told by its first bytes. */
  | { readonly archive: string };

/** The same for all images, so that the same files always give the same bytes. */
const FILESYSTEM_UUID = "6669726e-0000-4000-8000-000000000001";
const MKFS_TIMEOUT_MS = 120_000;
const MAX_PACKAGE_BYTES = 1024 * 1024;

/** An app image in the store. */
export interface AppImage {
  readonly blob: Descriptor;
  /** Path of the module to import, relative to the image's root. */
  readonly entry: string;
  /** What the app's package file says for Firn. */
  readonly settings: AppSettings;
}

/** How an app is made into an image. */
export interface AppImageOptions {
  /** Module to load, its extension may be left out; by default what the package file's `main` says, else the runtime's default. */
  readonly entry?: string | undefined;
  /** How the runtime's modules are named; `null` if it finds its own, and `entry` goes to it as it is. */
  readonly entryPoints: EntryPoints | null;
  /** Files that must be there and executable. */
  readonly programs?: readonly string[];
  /** How to start the HTTP server that the function is, in place of what the app's package file says. */
  readonly server?: ServerCommand | undefined;
  readonly limits?: AppLimits;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes a read-only erofs image of an app and adds it to the store. The same files give the same image.
 *
 * @throws {FunctionsError} FIRN_APP_INVALID, FIRN_APP_TOO_LARGE, FIRN_TOOL_MISSING (mkfs.erofs), FIRN_ABORTED.
 */
export async function createAppImage(
  store: Store,
  source: AppSource,
  options: AppImageOptions,
): Promise<AppImage> {
  const limits = options.limits ?? DEFAULT_APP_LIMITS;
  const unpacked = store.temporaryPath("app");
  const image = store.temporaryPath("app.erofs");
  try {
    let root: string;
    if ("directory" in source) {
      root = source.directory;
      await requireFolder(root);
      await checkFolder(root, limits);
    } else {
      root = unpacked;
      await mkdir(root, { mode: 0o755 });
      await unpack(source.archive, new AppFolder(root, limits));
    }
    const tree = new AppTree(root);
    const { entryPoints } = options;
    const packageJson = await readPackage(tree, entryPoints?.packageFile ?? null);
    // A runtime that finds its modules itself knows nothing of a package file's `main`.
    const main = entryPoints?.default == null ? undefined : packageMain(packageJson);
    const wanted = options.entry ?? main;
    const said = readAppSettings(packageJson);
    const settings = { ...said, server: options.server ?? said.server };
    // Of a server nothing is imported.
    const imports = entryPoints !== null && settings.server === null;
    const entry = imports ? await findEntry(tree, wanted, entryPoints) : (options.entry ?? "");
    for (const program of programsOf(settings.server, options.programs ?? [])) {
      await requireProgram(tree, program);
    }
    await makeImage(root, image, options.signal);
    const blob = await store.blobs.adopt(image, MEDIA_TYPE.app, { signal: options.signal });
    return { blob, entry, settings };
  } finally {
    await rm(unpacked, { recursive: true, force: true });
    await rm(image, { force: true });
  }
}

/** The files that must be executable: those of the runtime, or the program of a server if it is one of the app. */
function programsOf(server: ServerCommand | null, programs: readonly string[]): readonly string[] {
  if (server === null) return programs;
  const [program = ""] = server.command;
  return program.includes("/") && !program.startsWith("/") ? [program] : [];
}

async function unpack(archive: string, folder: AppFolder): Promise<void> {
  const isZip = (await firstBytes(archive)).startsWith("PK");
  await (isZip ? unpackZip(archive, folder) : unpackTar(archive, folder));
  await folder.finish();
}

async function firstBytes(path: string): Promise<string> {
  const file = await open(path, "r");
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(2), 0, 2, 0);
    return buffer.toString("latin1", 0, bytesRead);
  } finally {
    await file.close();
  }
}

async function readPackage(tree: AppTree, file: string | null): Promise<unknown> {
  const text = file === null ? undefined : await tree.readText(file, MAX_PACKAGE_BYTES);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalidApp(`The app's ${file} is no JSON: ${(cause as Error).message}.`, { cause });
  }
}

function packageMain(packageJson: unknown): string | undefined {
  const main = (packageJson as { main?: unknown } | null | undefined)?.main;
  return typeof main === "string" && main !== "" ? main : undefined;
}

async function makeImage(root: string, image: string, signal: AbortSignal | undefined): Promise<void> {
  const flags = ["-T0", `-U${FILESYSTEM_UUID}`, "--all-root", "-x-1", "--quiet"];
  try {
    await promisify(execFile)("mkfs.erofs", [...flags, image, root], {
      timeout: MKFS_TIMEOUT_MS,
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (cause) {
    signal?.throwIfAborted();
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") {
      throw new FunctionsError(
        "FIRN_TOOL_MISSING",
        "mkfs.erofs is not installed. Install the package erofs-utils.",
        {
          cause,
        },
      );
    }
    throw new FunctionsError(
      "FIRN_APP_INVALID",
      `mkfs.erofs cannot make an image of the app: ${String(cause)}`,
      {
        cause,
      },
    );
  }
}

async function requireFolder(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isDirectory()) {
    throw new FunctionsError(
      "FIRN_APP_INVALID",
      `${path} is no folder. Name the folder that holds the function.`,
    );
  }
}
