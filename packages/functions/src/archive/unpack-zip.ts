import { promisify } from "node:util";
import yauzl from "yauzl";
import { FunctionsError } from "../errors.ts";
import type { AppFolder } from "./app-folder.ts";

const FILE_TYPE = 0o170_000;
const LINK = 0o120_000;
const MAX_LINK_BYTES = 4096;

/**
 * Unpacks a zip archive into a folder.
 *
 * @throws {FunctionsError} FIRN_APP_INVALID if it is no zip, is encrypted, or holds what an app may not hold.
 */
export async function unpackZip(path: string, folder: AppFolder): Promise<void> {
  const open = promisify<string, yauzl.Options, yauzl.ZipFile>(yauzl.open);
  const zip = await open(path, { lazyEntries: true, autoClose: false }).catch(malformed);
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
  const name = entry.fileName;
  // The upper half holds a Unix mode if the archive was made on such a system, else 0.
  const mode = entry.externalFileAttributes >>> 16;
  if (name.endsWith("/")) return folder.addFolder(name);
  const openEntry = promisify<yauzl.Entry, NodeJS.ReadableStream>(zip.openReadStream.bind(zip));
  const contents = (await openEntry(entry)) as import("node:stream").Readable;
  if ((mode & FILE_TYPE) !== LINK) return folder.addFile(name, contents, (mode & 0o111) !== 0);
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of contents as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > MAX_LINK_BYTES) {
      throw new FunctionsError("FIRN_APP_INVALID", `Link ${name} in the zip has a target that is too long.`);
    }
    parts.push(part);
  }
  folder.addLink(name, Buffer.concat(parts).toString("utf8"));
}

function malformed(cause: Error): never {
  // yauzl's own errors are plain Errors without a code; those of the system and of AppFolder carry one.
  if ("code" in cause && !String(cause.code).startsWith("Z_")) throw cause;
  throw new FunctionsError("FIRN_APP_INVALID", `The archive is no zip that can be read: ${cause.message}.`, {
    cause,
  });
}
