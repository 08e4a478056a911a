import { isUtf8 } from "node:buffer";
import { promisify } from "node:util";
import yauzl from "yauzl";
import { invalidApp } from "./app-errors.ts";
import type { AppFolder } from "./app-folder.ts";
import { isLeftover } from "./entry-name.ts";

const FILE_TYPE = 0o170_000;
const TYPES = new Map([
  [0, "file"],
  [0o100_000, "file"],
  [0o040_000, "folder"],
  [0o120_000, "link"],
]);
const UTF8_FLAG = 0x800;
const DOS_FOLDER = 0x10;
const MAX_LINK_BYTES = 4096;

/**
 * Unpacks a zip archive into a folder.
 *
 * @throws {FunctionsError} FIRN_APP_INVALID if it is no zip, is encrypted, or holds what an app may not hold.
 */
export async function unpackZip(path: string, folder: AppFolder): Promise<void> {
  const open = promisify<string, yauzl.Options, yauzl.ZipFile>(yauzl.open);
  // Names are decoded here; AppFolder checks them.
  const options = { lazyEntries: true, autoClose: false, decodeStrings: false };
  const zip = await open(path, options).catch(malformed);
  try {
    await new Promise<void>((resolve, reject) => {
      zip.on("error", reject);
      zip.on("end", resolve);
      zip.on("entry", (entry: yauzl.Entry) => {
        unpackEntry(zip, entry, folder).then(() => zip.readEntry(), reject);
      });
      zip.readEntry();
    }).catch(malformed);
  } finally {
    zip.close();
  }
}

async function unpackEntry(zip: yauzl.ZipFile, entry: yauzl.Entry, folder: AppFolder): Promise<void> {
  const name = nameOf(entry);
  if (isLeftover(name)) return;
  // The upper half holds a Unix mode if the archive was made on such a system, else 0.
  const mode = entry.externalFileAttributes >>> 16;
  const type = TYPES.get(mode & FILE_TYPE);
  if (type === undefined) {
    throw invalidApp(
      `${name} in the zip is a device, a pipe or a socket: an app holds files, folders and links.`,
    );
  }
  const dosFolder = mode === 0 && (entry.externalFileAttributes & DOS_FOLDER) !== 0;
  if (type === "folder" || dosFolder || name.endsWith("/")) return folder.addFolder(name);
  const openEntry = promisify<yauzl.Entry, NodeJS.ReadableStream>(zip.openReadStream.bind(zip));
  const contents = (await openEntry(entry)) as import("node:stream").Readable;
  if (type === "file") return folder.addFile(name, contents, (mode & 0o111) !== 0);
  folder.addLink(name, await readLink(name, contents));
}

/**
 * Many programs write UTF-8 and do not say so; names that are valid UTF-8 and not ASCII hardly ever are anything else. Windows' own
 * separates folders with backslashes.
 */
function nameOf(entry: yauzl.Entry): string {
  const utf8 = isUtf8(entry.fileNameRaw) ? UTF8_FLAG : 0;
  const flags = entry.generalPurposeBitFlag | utf8;
  return yauzl.getFileNameLowLevel(flags, entry.fileNameRaw, entry.extraFields, false);
}

async function readLink(name: string, contents: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of contents) {
    length += part.length;
    if (length > MAX_LINK_BYTES) throw invalidApp(`Link ${name} in the zip has a target that is too long.`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

function malformed(cause: Error): never {
  // yauzl's own errors are plain Errors without a code; those of the system and of AppFolder carry one.
  if ("code" in cause && !String(cause.code).startsWith("Z_")) throw cause;
  throw invalidApp(`The archive is no zip that can be read: ${cause.message}.`, { cause });
}
