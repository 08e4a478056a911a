import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import {
  decodeRuntimeLog,
  decodeRuntimeReport,
  encodeRuntimeCommand,
  encodeRuntimeResume,
  FrameDecoder,
  frame,
  type Header,
  INITIAL_CREDIT_BYTES,
  type InvokeResult,
  type LoadFunction,
  MAX_CHUNK_BYTES,
  type RuntimeCommand,
  type RuntimeLog,
  type RuntimeReport,
} from "@firn/protocol";

const SOURCE = fileURLToPath(new URL("../src/runtime/main.ts", import.meta.url));
/** The addon for this machine. */
export const ADDON = fileURLToPath(
  new URL(`../dist/addon/linux-${process.arch}/reseed.node`, import.meta.url),
);

/** How long a test waits for any report, in milliseconds. */
const REPORT_LIMIT_MS = 15_000;

/** How a runtime was left by its agent. */
export interface RuntimeOptions {
  /** The program; the source by default. */
  readonly program?: string;
  /** Path of the addon, or "" for the one beside the program. */
  readonly addon?: string;
  /** Whether what it prints goes through the log pipe. */
  readonly logs?: boolean;
}

/** What a runtime reports, with the pieces of each answer put together. */
type Report =
  | Exclude<RuntimeReport, { type: "responseHead" | "payloadChunk" | "credit" | "invokeEnd" }>
  | ({ readonly type: "invokeResult" } & Result);

/** A result, and what is only told of an answer that was written piece by piece. */
export interface Result extends InvokeResult {
  readonly streams: boolean;
  /** Why the answer broke off; "" if it did not. */
  readonly errorType: string;
  readonly errorMessage: string;
}

/** A real runtime process, and in this process the agent's ends of its bridge and its gate. */
export class RuntimeProcess implements AsyncDisposable {
  readonly root: string;
  readonly child: ChildProcess;
  /** What it printed so far. */
  output = "";
  /** What came through the log pipe so far. */
  readonly logged: (Omit<RuntimeLog, "text"> & { readonly text: string })[] = [];
  readonly #decoder = new FrameDecoder();
  readonly #reports: Report[] = [];
  /** Of invocations whose payload is not sent: takes credit. */
  readonly #unsent = new Map<number, (granted: number) => void>();
  readonly #answers = new Map<number, Partial<Result> & { pieces: Uint8Array[]; complete?: boolean }>();
  /** Whether the host takes answers without being asked. */
  reads = true;
  /** Credit for payloads of requests so far, in bytes. */
  granted = 0;
  #wake = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<never>();
  #nextId = 1;

  private constructor(root: string, options: RuntimeOptions) {
    this.root = root;
    const program = options.program ?? SOURCE;
    const addon = options.addon ?? ADDON;
    const args = [
      ...["--conditions=firn-source", "--expose-gc", program, `--root=${root}`],
      ...(addon === "" ? [] : [`--addon=${addon}`]),
    ];
    this.child = spawn(process.execPath, args, {
      stdio: ["ignore", "pipe", "pipe", "pipe", "pipe", "pipe"],
      env: {
        PATH: process.env.PATH,
        FIRN_BRIDGE_FD: "3",
        FIRN_GATE_FD: "4",
        ...(options.logs === true ? { FIRN_LOG_FD: "5" } : {}),
      },
    });
    const logs = new FrameDecoder();
    (this.child.stdio as unknown as readonly Duplex[])[5]?.on("data", (chunk: Buffer) => {
      for (const bytes of logs.push(chunk)) {
        const log = decodeRuntimeLog(bytes);
        this.logged.push({ ...log, text: Buffer.from(log.text).toString() });
      }
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    }
    this.child.once("exit", (code, signal) => {
      this.#ended.reject(new Error(`The runtime has exited (${code ?? signal}).\n${this.output}`));
    });
    this.#ended.promise.catch(() => {});
    // A process that ends leaves what it has not read behind.
    this.#bridge.on("error", () => {});
    this.#bridge.on("data", (chunk: Buffer) => {
      for (const bytes of this.#decoder.push(chunk)) this.#hear(decodeRuntimeReport(bytes));
      this.#wake.resolve();
      this.#wake = Promise.withResolvers<void>();
    });
  }

  /** Starts a runtime over a folder with these files, and waits until it is ready for a function. */
  static async start(
    files: Readonly<Record<string, string>>,
    options: RuntimeOptions = {},
  ): Promise<RuntimeProcess> {
    const root = await mkdtemp(join(tmpdir(), "firn-guest-"));
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, name)), { recursive: true });
      await writeFile(join(root, name), text);
    }
    const runtime = new RuntimeProcess(root, options);
    await runtime.next("runtimeReady");
    return runtime;
  }

  /** Starts a runtime, loads `index.js` with this text, and waits until it is ready. */
  static async load(text: string, load: Partial<LoadFunction> = {}): Promise<RuntimeProcess> {
    const runtime = await RuntimeProcess.start({ "index.js": text, "package.json": '{"type":"module"}' });
    runtime.loadFunction(load);
    await runtime.next("functionReady");
    return runtime;
  }

  get #bridge(): Duplex {
    return this.child.stdio[3] as unknown as Duplex;
  }

  get #gate(): Duplex {
    return this.child.stdio[4] as unknown as Duplex;
  }

  #hear(report: RuntimeReport): void {
    switch (report.type) {
      case "responseHead":
        this.#answers.set(report.id, { ...report, pieces: [report.payload] });
        this.#grant(report.id, report.payload.length);
        break;
      case "payloadChunk":
        this.#answers.get(report.id)?.pieces.push(report.data);
        if (report.last) Object.assign(this.#answers.get(report.id) ?? {}, { complete: true });
        this.#grant(report.id, report.data.length);
        break;
      case "credit":
        this.granted += report.bytes;
        this.#unsent.get(report.id)?.(report.bytes);
        break;
      case "invokeEnd": {
        const { pieces, complete: _, ...head } = this.#answers.get(report.id) ?? { pieces: [] };
        const { id, functionError, errorType, errorMessage } = report;
        const end = { id, functionError, errorType, errorMessage };
        const rest = { type: "invokeResult", ...end, payload: Buffer.concat(pieces) } as const;
        this.#reports.push({ status: 0, headers: [], streams: false, ...head, ...rest });
        break;
      }
      default:
        this.#reports.push(report);
    }
  }

  /** What has arrived of an answer so far: its text, and whether that is said to be all. */
  soFar(id: number): { readonly text: string; readonly complete: boolean } | undefined {
    const answer = this.#answers.get(id);
    return answer && { text: Buffer.concat(answer.pieces).toString(), complete: answer.complete === true };
  }

  /** Takes further bytes of an answer. */
  take(id: number, bytes: number): void {
    this.#write({ type: "credit", id, bytes });
  }

  #grant(id: number, bytes: number): void {
    if (this.reads) this.take(id, bytes);
  }

  /** Sends a command; what of an invocation's payload is too long for it follows in pieces, as the runtime grants credit. */
  send(command: RuntimeCommand): void {
    if (command.type !== "invoke" || command.payload.length <= INITIAL_CREDIT_BYTES) {
      this.#write(command);
      return;
    }
    const { id, payload } = command;
    let sent = INITIAL_CREDIT_BYTES;
    let credit = 0;
    this.#unsent.set(id, (granted) => {
      credit += granted;
      while (credit > 0 && sent < payload.length) {
        const data = payload.subarray(sent, sent + Math.min(credit, MAX_CHUNK_BYTES));
        sent += data.length;
        credit -= data.length;
        this.#write({ type: "payloadChunk", id, data, last: sent === payload.length });
      }
    });
    this.#write({ ...command, payload: payload.subarray(0, sent), more: true });
  }

  #write(command: RuntimeCommand): void {
    this.#bridge.write(frame(encodeRuntimeCommand(command)));
  }

  loadFunction(load: Partial<LoadFunction> = {}): void {
    this.send({
      type: "loadFunction",
      entry: "index.js",
      handler: "",
      environment: {},
      readyTimeoutMs: 10_000,
      functionName: "example",
      memoryMib: 128,
      ...load,
    });
  }

  /** The next report, which must be of this type. */
  async next<Type extends Report["type"]>(type: Type): Promise<Extract<Report, { type: Type }>> {
    const limit = AbortSignal.timeout(REPORT_LIMIT_MS);
    const overdue = new Promise<never>((_, reject) => {
      limit.onabort = () => reject(new Error(`No ${type} came.\n${this.output}`));
    });
    for (;;) {
      const report = this.#reports.shift();
      if (report?.type === type) return report as Extract<Report, { type: Type }>;
      if (report !== undefined)
        throw new Error(`Expected ${type}, got ${JSON.stringify(report)}\n${this.output}`);
      await Promise.race([this.#wake.promise, this.#ended.promise, overdue]);
    }
  }

  /** Sends an event; resolves with the result. */
  async invoke(event: unknown, timeoutMs = 10_000): Promise<Result> {
    this.sendEvent(event, timeoutMs);
    return this.next("invokeResult");
  }

  /** Sends an event, and waits for nothing. */
  sendEvent(event: unknown, timeoutMs = 10_000): void {
    const payload = new TextEncoder().encode(JSON.stringify(event));
    this.send({
      type: "invoke",
      id: this.#nextId++,
      requestId: "request",
      timeoutMs,
      kind: "event",
      payload,
    });
  }

  /** Sends an event to a function that answers with JSON. */
  async call(event: unknown = {}): Promise<unknown> {
    const result = await this.invoke(event);
    if (result.functionError !== "") throw new Error(Buffer.from(result.payload).toString());
    return JSON.parse(Buffer.from(result.payload).toString());
  }

  /** Sends an HTTP request; resolves with the result. */
  async request(
    method: string,
    url: string,
    body: string | Uint8Array = "",
    headers: Record<string, string> | readonly Header[] = {},
  ): Promise<Result> {
    this.sendRequest(method, url, body, headers);
    return this.next("invokeResult");
  }

  /** Sends an HTTP request, and waits for nothing; returns its id. With `more`, pieces of its body follow. */
  sendRequest(
    method: string,
    url: string,
    body: string | Uint8Array = "",
    headers: Record<string, string> | readonly Header[] = {},
    { more = false, timeoutMs = 10_000 } = {},
  ): number {
    const id = this.#nextId++;
    this.send({
      type: "invoke",
      id,
      requestId: "request",
      timeoutMs,
      kind: "http",
      ...(more ? { more } : {}),
      payload: typeof body === "string" ? new TextEncoder().encode(body) : body,
      method,
      url,
      headers: isList(headers) ? headers : Object.entries(headers).map(([name, value]) => ({ name, value })),
    });
    return id;
  }

  /** Sends a piece of a request's body. */
  sendPiece(id: number, text: string, last = false): void {
    this.send({ type: "payloadChunk", id, data: Buffer.from(text), last });
  }

  /** Brings the runtime to where a snapshot would be taken. */
  async quiesce(): Promise<void> {
    this.send({ type: "prepareSnapshot" });
    const { warnings } = await this.next("quiesced");
    // The agent logs them.
    for (const { message } of warnings) this.output += `Warning: ${message}\n`;
  }

  /** Opens the gate. */
  openGate(entropy: Uint8Array = randomBytes(64), environment: Record<string, string> = {}): void {
    this.#gate.write(frame(encodeRuntimeResume({ entropy, environment })));
  }

  /** Opens the gate, and waits until the after-restore hooks are done. */
  async resume(entropy?: Uint8Array): Promise<void> {
    this.openGate(entropy);
    await this.next("resumed");
  }

  /** Resolves with the exit status. */
  async exit(): Promise<number | null> {
    if (this.child.exitCode !== null) return this.child.exitCode;
    return new Promise((resolve) => this.child.once("exit", resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    if (this.child.exitCode === null && this.child.signalCode === null) {
      await new Promise((resolve) => this.child.once("exit", resolve));
    }
    await rm(this.root, { recursive: true, force: true });
  }
}

function isList(headers: Record<string, string> | readonly Header[]): headers is readonly Header[] {
  return Array.isArray(headers);
}

/** The error in a result. */
export function errorOf(result: InvokeResult): { errorType: string; errorMessage: string; trace: string[] } {
  if (result.functionError === "") throw new Error(`No error: ${textOf(result)}`);
  return JSON.parse(textOf(result));
}

/** A result's headers as lines. */
export function linesOf(result: InvokeResult): string[] {
  return result.headers.map(({ name, value }) => `${name}: ${value}`);
}

/** The text of a result's payload. */
export function textOf(result: InvokeResult): string {
  return Buffer.from(result.payload).toString();
}
