import { execFile } from "node:child_process";
import { mkdir, open, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Descriptor, MEDIA_TYPE, type Store } from "@firn/snapshots";
import { readSamples, type Sample } from "../deploy/sample.ts";
import { FunctionsError } from "../errors.ts";
import { AppFolder, type AppLimits, checkFolder, DEFAULT_APP_LIMITS } from "./app-folder.ts";
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
const ENTRY_EXTENSIONS = [".js", ".mjs", ".cjs", ".ts", ".mts"];

/** An app image in the store. */
export interface AppImage {
  readonly blob: Descriptor;
  /** Path of the module to import, relative to the image's root. */
  readonly entry: string;
  /** What package.json gives as samples of the function's requests. */
  readonly samples: readonly Sample[];
}

/**
 * Makes a read-only erofs image of an app and adds it to the store. The same files give the same image.
 *
 * @param options.entry Module to import, its extension may be left out; by default package.json's `main`, else `index`.
 * @throws {FunctionsError} FIRN_APP_INVALID, FIRN_APP_TOO_LARGE, FIRN_TOOL_MISSING (mkfs.erofs), FIRN_ABORTED.
 */
export async function createAppImage(
  store: Store,
  source: AppSource,
  options: { entry?: string | undefined; limits?: AppLimits; signal?: AbortSignal | undefined } = {},
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
    const packageJson = await readPackageJson(root);
    const entry = await findEntry(root, options.entry ?? packageMain(packageJson));
    const samples = readSamples(packageJson);
    await makeImage(root, image, options.signal);
    const blob = await store.blobs.adopt(image, MEDIA_TYPE.app, { signal: options.signal });
    return { blob, entry, samples };
  } finally {
    await rm(unpacked, { recursive: true, force: true });
    await rm(image, { force: true });
  }
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

async function findEntry(root: string, wanted: string | undefined): Promise<string> {
  const base = wanted ?? "index";
  if (base.startsWith("/") || base.split("/").includes("..")) {
    throw new FunctionsError(
      "FIRN_APP_INVALID",
      `Entry "${base}" must be a path inside the app, such as index.js.`,
    );
  }
  for (const candidate of [base, ...ENTRY_EXTENSIONS.map((extension) => base + extension)]) {
    const found = await stat(join(root, candidate)).catch(() => undefined);
    if (found?.isFile()) return candidate.replace(/^(\.\/)+/, "");
  }
  const names = (await readdir(root)).slice(0, 10).join(", ") || "nothing";
  throw new FunctionsError(
    "FIRN_APP_INVALID",
    `Entry "${base}" is not in the app, which holds ${names} at its root. Name the module to import as entry.`,
  );
}

async function readPackageJson(root: string): Promise<unknown> {
  const text = await readFile(join(root, "package.json"), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FunctionsError("FIRN_APP_INVALID", "The app's package.json is no JSON.", { cause });
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
