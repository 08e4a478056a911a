import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { pythonPackages } from "../../../setup/python-packages.ts";
import { type Answer, deploy } from "./api.ts";
import { repository } from "./environment.ts";

const functions = join(repository, "guest-images", "functions");

/** Deploys the example function `hello`. */
export async function deployHello(name = "hello"): Promise<Answer> {
  return deploy(name, await pack(join(functions, "hello"), ["package.json", "index.js"]));
}

/** Deploys the example function `thumbnail`, which must have been built. */
export async function deployThumbnail(): Promise<Answer> {
  return deploy("thumbnail", await pack(join(functions, "thumbnail", "dist"), ["."]));
}

/** A function of `guest-images/functions`, and what it answers. */
export interface SuiteFunction {
  readonly name: string;
  /** Its folder below `guest-images/functions`; one with a build is deployed from its `dist`. */
  readonly files: readonly string[];
  readonly folder?: string;
  readonly handler: string;
  /** The default one if absent. */
  readonly runtime?: string;
  readonly memoryMib?: number;
  readonly event: unknown;
  readonly answer: unknown;
}

/** Deploys a function of the suite, which must have been built. */
export async function deploySuiteFunction(each: SuiteFunction): Promise<Answer> {
  const { name, files, folder = name, handler, runtime, memoryMib = 256 } = each;
  const place = join(functions, folder);
  const requirements = join(place, "requirements.txt");
  const packages = existsSync(requirements)
    ? ["-C", await pythonPackages(readFileSync(requirements, "utf8").trim().split("\n")), "."]
    : [];
  const query = { handler, memoryMib, ...(runtime === undefined ? {} : { runtime }) };
  return deploy(name, await pack(place, [...files, ...packages]), query);
}

async function pack(folder: string, files: readonly string[]): Promise<Buffer> {
  const options = { encoding: "buffer", maxBuffer: 256 * 1024 * 1024 } as const;
  const { stdout } = await promisify(execFile)("tar", ["-c", "-C", folder, ...files], options);
  return stdout;
}

/** What `hello` answers with `show: "random"`. */
export interface RandomAnswer {
  readonly uuid: string;
  readonly randomBytes: string;
  readonly mathRandom: number;
  readonly date: string;
  readonly importedAt: string;
  readonly invocations: number;
}
