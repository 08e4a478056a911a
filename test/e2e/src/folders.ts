import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type ArchiveEntry, tarOf } from "../../../packages/functions/test/archives.ts";
import { type Answer, deploy } from "./api.ts";

const functions = join(import.meta.dirname, "..", "functions");

/** How a folder is deployed. */
export interface FolderOptions {
  readonly query?: Readonly<Record<string, string | number>>;
  readonly environment?: Readonly<Record<string, string>>;
}

/** The files of a folder below `functions/`. */
export function filesOf(folder: string): ArchiveEntry[] {
  return filesBelow(join(functions, folder));
}

/** The files of a folder. */
export function filesBelow(root: string): ArchiveEntry[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => ({
      name: path.slice(root.length + 1),
      contents: readFileSync(path),
      executable: (statSync(path).mode & 0o100) !== 0,
    }));
}

/** Deploys a folder below `functions/`, whatever comes of it. */
export function deployFolder(name: string, folder: string, options: FolderOptions = {}): Promise<Answer> {
  const { query = {}, environment } = options;
  const headers: Record<string, string> =
    environment === undefined
      ? {}
      : { "x-firn-environment": Buffer.from(JSON.stringify(environment)).toString("base64") };
  return deploy(name, tarOf(filesOf(folder)), query, headers);
}

/** Deploys a folder below `functions/`, and fails with what the server says unless it is active then. */
export async function deployed(name: string, folder: string, options: FolderOptions = {}): Promise<Answer> {
  const answer = await deployFolder(name, folder, options);
  const { state } = (answer.json ?? {}) as { state?: string };
  if (state !== "Active") throw new Error(`${name} was not deployed: ${answer.body.toString("utf8")}`);
  return answer;
}
