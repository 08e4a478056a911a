import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jdkFolder } from "../../../../setup/java.ts";
import { buildLauncher } from "../launcher.ts";
import runtime from "../runtime.ts";

const deadlineMs = 60_000;

/** A request of the launcher's that was not answered yet, or one that it sent something with. */
export interface Asked {
  readonly path: string;
  readonly body: string;
  readonly headers: IncomingMessage["headers"];
  answer(status: number, headers?: Record<string, string>, body?: string): void;
}

/** The launcher in a process of this machine, and this side of the Runtime API. */
export class Launched implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #asked: Asked[] = [];
  readonly #folder: string;
  readonly #generation: number;
  readonly #server: ReturnType<typeof createServer>;
  readonly #status: Promise<number>;
  #wake = () => {};
  #resumes = 0;
  /** What it has printed. */
  stdout = "";
  stderr = "";

  static async start(root: string): Promise<Launched> {
    const jdk = await jdkFolder();
    const x86 = process.arch === "x64";
    const { directory } = await buildLauncher({
      compiler: "gcc",
      clientLibrary: `libaws-lambda-jni.linux-${x86 ? "x86_64" : "aarch_64"}.so`,
    });
    const folder = mkdtempSync(join(tmpdir(), "firn-java-"));
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Launched(server, folder, join(jdk, "bin/java"), [
      ...runtime.manifest.command
        .slice(1)
        .map((argument) => argument.replaceAll("/opt/firn/java17", directory).replace("{memory:60%}", "154")),
      root,
    ]);
  }

  private constructor(
    server: ReturnType<typeof createServer>,
    folder: string,
    java: string,
    command: readonly string[],
  ) {
    this.#server = server;
    this.#folder = folder;
    server.on("request", (request, response) => void this.#take(request, response));
    const generation = join(folder, "generation");
    writeFileSync(generation, Buffer.alloc(4));
    this.#generation = openSync(generation, "r+");
    const root = command.at(-1);
    const properties = [`-Dfirn.root=${root}`, `-Dfirn.generation=${generation}`];
    const native = command.find((argument) => argument.includes("/classes:"))?.split("/classes:")[0];
    this.#child = spawn(
      java,
      [...properties, `-Dfirn.native=${native}/libfirn.so`, ...command.slice(0, -1)],
      {
        cwd: "/",
        env: {
          AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${(server.address() as AddressInfo).port}`,
          PATH: "/usr/bin:/bin",
          LANG: "C.UTF-8",
          TZ: "UTC",
        },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    this.#child.stdout?.setEncoding("utf8").on("data", (text) => (this.stdout += text));
    this.#child.stderr?.setEncoding("utf8").on("data", (text) => (this.stderr += text));
    this.#status = once(this.#child, "close").then(([code]) => code as number);
    void this.#status.then(() => this.#wake());
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    this.#asked.push({
      path: request.url ?? "",
      body: Buffer.concat(chunks).toString("utf8"),
      headers: request.headers,
      answer: (status, headers = {}, body = "") => {
        response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) }).end(body);
      },
    });
    this.#wake();
  }

  /** Its next request, which must be to this path. */
  async asks(path: string): Promise<Asked> {
    const late = AbortSignal.timeout(deadlineMs);
    while (this.#asked.length === 0) {
      if (late.aborted || this.#child.exitCode !== null) {
        throw new Error(
          `No request came (exit status ${this.#child.exitCode}):\n${this.stdout}\n${this.stderr}`,
        );
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        late.addEventListener("abort", () => resolve());
      });
    }
    const asked = this.#asked.shift() as Asked;
    if (asked.path !== path) {
      throw new Error(`${asked.path} was asked for, not ${path}: ${asked.body}\n${this.stderr}`);
    }
    return asked;
  }

  /** Gives it a function, as the agent does. */
  async load(handler: string, environment: Record<string, string> = {}): Promise<void> {
    const asked = await this.asks("/firn/v1/load/next");
    this.advanceGeneration();
    const load = { entry: "", handler, environment, functionName: "example", memoryMib: 256 };
    asked.answer(200, { "content-type": "application/json" }, JSON.stringify(load));
  }

  /** It stands before its snapshot, and goes on as a clone, or as it is. */
  async restore({ asClone = true } = {}): Promise<void> {
    (await this.asks("/firn/v1/invocation/next")).answer(204);
    const asked = await this.asks("/2018-06-01/runtime/restore/next");
    if (asClone) this.advanceGeneration();
    asked.answer(200);
  }

  /** What the agent does at each resume. */
  advanceGeneration(): void {
    this.#resumes += 1;
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(this.#resumes);
    writeSync(this.#generation, bytes, 0, 4, 0);
  }

  /** Gives it an event. Returns what it answers, or throws if that is an error. */
  async invoke(event: unknown, headers: Record<string, string> = {}): Promise<unknown> {
    const { path, body } = await this.sends(event, headers);
    if (!path.endsWith("/response")) throw new Error(body);
    return JSON.parse(body);
  }

  /** Gives it an event, and returns what it sends. */
  async sends(event: unknown, headers: Record<string, string> = {}): Promise<Asked> {
    const asked = await this.asks("/firn/v1/invocation/next");
    asked.answer(
      200,
      {
        "Lambda-Runtime-Aws-Request-Id": "id-1",
        "Lambda-Runtime-Deadline-Ms": String(Date.now() + 60_000),
        "Lambda-Runtime-Invoked-Function-Arn": "arn:example",
        ...headers,
      },
      JSON.stringify(event),
    );
    while (this.#asked.length === 0) {
      if (this.#child.exitCode !== null) throw new Error(`It exited with ${this.#child.exitCode}.`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const sent = this.#asked.shift() as Asked;
    sent.answer(202);
    return sent;
  }

  /** How it ends. */
  ends(): Promise<number> {
    return this.#status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#status;
    this.#server.closeAllConnections();
    this.#server.close();
    rmSync(this.#folder, { recursive: true });
  }
}
