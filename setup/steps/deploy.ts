import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { SetupError } from "../errors.ts";
import { repository } from "../machine.ts";

/** An example function: what is deployed, and how. */
export interface ExampleFunction {
  name: string;
  /** The folder that is deployed. */
  folder: string;
  files: readonly string[];
  /** Name of the runtime and of the handler; the server's defaults if absent. */
  runtime?: { name: string; handler: string } | undefined;
  /** As the path and body of a request. */
  sample: { path: string; body?: string };
}

const examples = join(repository, "guest-images", "functions");

export const exampleFunctions: readonly ExampleFunction[] = [
  {
    name: "hello",
    folder: join(examples, "hello"),
    files: ["package.json", "index.js"],
    sample: { path: "/2015-03-31/functions/hello/invocations", body: '{"name":"Firn"}' },
  },
  {
    name: "thumbnail",
    folder: join(examples, "thumbnail", "dist"),
    files: ["."],
    sample: { path: "/functions/thumbnail/http/?width=64&height=48&format=png" },
  },
];

// An emulated host is slow, and nothing is gained by a function that fails for that.
const limits = "timeoutMs=60000&readyTimeoutMs=300000";
const deployDeadlineMs = 10 * 60_000;

/** What the server says of a deployed function. */
export interface Deployed {
  name: string;
  memoryMib: number;
  snapshot: { memoryBytes: number; layerBytes: number } | null;
}

/**
 * Deploys a folder over HTTP.
 *
 * @throws {SetupError} DEPLOY_FAILED with what the server says.
 */
export async function deploy(url: string, example: ExampleFunction, signal: AbortSignal): Promise<Deployed> {
  const archive = await pack(example);
  const { name, handler } = example.runtime ?? {};
  const runtime = name === undefined ? "" : `&runtime=${name}&handler=${handler}`;
  const response = await fetch(`${url}/functions/${example.name}?${limits}${runtime}`, {
    method: "PUT",
    headers: { "content-type": "application/x-tar" },
    body: new Uint8Array(archive),
    signal: AbortSignal.any([signal, AbortSignal.timeout(deployDeadlineMs)]),
  });
  const text = await response.text();
  if (response.ok) return JSON.parse(text) as Deployed;
  const message = `${example.name} was not deployed: the server answered ${response.status}.\n${text}`;
  throw new SetupError("DEPLOY_FAILED", message);
}

// The same files give the same archive, so that a deploy of what is there already can be told from a new one.
async function pack(example: ExampleFunction): Promise<Buffer> {
  const same = [
    "--sort=name",
    "--mtime=@0",
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "--mode=u=rwX,go=rX",
  ];
  const { stdout } = await promisify(execFile)(
    "tar",
    ["-c", ...same, "-C", example.folder, ...example.files],
    {
      encoding: "buffer",
      maxBuffer: 256 * 1024 * 1024,
    },
  );
  return stdout;
}

/** A line for a shell that invokes a function. */
export function curlLine(url: string, { name, sample }: ExampleFunction): string {
  if (sample.body !== undefined) return `curl -d '${sample.body}' '${url}${sample.path}'`;
  return `curl -o ${name}.png '${url}${sample.path}'`;
}

/** Lines for a shell in this checkout that deploy and invoke a function of one's own. */
export function firnLines(url: string): string[] {
  const server = url === "http://127.0.0.1:8080" ? "" : ` --server ${url}`;
  return [
    `npm run firn -- deploy ./my-function --name mine${server}`,
    `npm run --silent firn -- invoke mine --data '{}'${server}`,
  ];
}
