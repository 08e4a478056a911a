import { createReadStream } from "node:fs";
import { finished, Readable } from "node:stream";
import { Parser, type ReadEntry } from "tar";
import { FunctionsError } from "../errors.ts";
import type { AppFolder } from "./app-folder.ts";
import { isLeftover } from "./entry-name.ts";

/**
 * Unpacks a tar archive, plain or compressed with gzip, into a folder.
 *
 * @throws {FunctionsError} FIRN_APP_INVALID if it is no tar or holds what an app may not hold.
 */
export async function unpackTar(path: string, folder: AppFolder): Promise<void> {
  let work: Promise<unknown> = Promise.resolve();
  let files = 0;
  await new Promise<void>((resolve, reject) => {
    const source = createReadStream(path);
    const fail = (error: Error) => {
      source.destroy();
      reject(malformed(error));
    };
    const parser = new Parser({
      strict: true,
      onReadEntry: (entry) => {
        files += 1;
        // The parser hands out one entry at a time and waits until it is read.
        work = work.then(() => unpackEntry(entry, folder));
        work.catch(fail);
      },
    });
    parser.on("error", fail);
    parser.on("end", () => work.then(() => resolve(), fail));
    finished(source, (error) => error && fail(error));
    source.on("data", (chunk) => {
      if (!parser.write(chunk as Buffer)) source.pause();
    });
    parser.on("drain", () => source.resume());
    source.on("end", () => parser.end());
  });
  if (files === 0) throw new FunctionsError("FIRN_APP_INVALID", "The tar archive holds no files.");
}

async function unpackEntry(entry: ReadEntry, folder: AppFolder): Promise<void> {
  if (isLeftover(entry.path)) return void entry.resume();
  switch (entry.type) {
    case "File":
    case "OldFile":
    case "ContiguousFile":
      return folder.addFile(entry.path, Readable.from(entry), ((entry.mode ?? 0) & 0o111) !== 0);
    case "Directory":
      await folder.addFolder(entry.path);
      break;
    case "SymbolicLink":
      folder.addLink(entry.path, entry.linkpath ?? "");
      break;
    case "Link":
      await folder.addHardLink(entry.path, entry.linkpath ?? "");
      break;
    default:
      throw new FunctionsError(
        "FIRN_APP_INVALID",
        `${entry.path} in the archive is a ${entry.type}: an app holds files, folders and links.`,
      );
  }
  entry.resume();
}

function malformed(error: Error): Error {
  if (error instanceof FunctionsError) return error;
  const code = "code" in error ? String(error.code) : "";
  if (code !== "" && !code.startsWith("TAR_") && !code.startsWith("Z_")) return error;
  return new FunctionsError("FIRN_APP_INVALID", `The archive is no tar that can be read: ${error.message}.`, {
    cause: error,
  });
}
