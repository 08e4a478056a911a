import { randomUUID } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { INITIAL_CREDIT_BYTES, MAX_CHUNK_BYTES, type ResponseHead } from "@firn/protocol";
import type { FunctionProcess, InvocationReport } from "./function-process.ts";

/** As long as a function may have at most: who steps through it with a debugger wants it. */
const TIMEOUT_MS = 900_000;

/** Has a function answer a request, each way piece by piece. Resolves when that is done; never rejects. */
export async function serveRequest(
  called: FunctionProcess,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const ended = Promise.withResolvers<void>();
  const answer = new Answer(outgoing, (bytes) => called.send({ type: "credit", id, bytes }));
  const upload = new Credit();
  const id = called.listen((report) => {
    if (report.type === "credit") upload.grant(report.bytes);
    else if (answer.hear(report)) ended.resolve();
  });
  const hasBody =
    incoming.headers["transfer-encoding"] !== undefined || Number(incoming.headers["content-length"]) > 0;
  called.send({
    type: "invoke",
    id,
    requestId: randomUUID(),
    timeoutMs: TIMEOUT_MS,
    kind: "http",
    payload: new Uint8Array(),
    more: hasBody,
    method: incoming.method ?? "GET",
    url: `http://${incoming.headers.host ?? "localhost"}${incoming.url}`,
    headers: headersOf(incoming),
  });
  outgoing.once("close", () => {
    if (!outgoing.writableFinished) called.send({ type: "cancelInvoke", id });
  });
  if (hasBody)
    void sendBody(incoming, upload, (data, last) => called.send({ type: "payloadChunk", id, data, last }));
  const died = called.exited.then((how) => answer.fail(`The function's process has ended: ${how}.`));
  await Promise.race([ended.promise, died]);
  upload.close();
}

function headersOf({ rawHeaders }: IncomingMessage): { name: string; value: string }[] {
  const pairs = rawHeaders.length / 2;
  return Array.from({ length: pairs }, (_, index) => ({
    name: rawHeaders[2 * index] as string,
    value: rawHeaders[2 * index + 1] as string,
  }));
}

async function sendBody(
  incoming: IncomingMessage,
  credit: Credit,
  send: (data: Uint8Array, last: boolean) => void,
): Promise<void> {
  try {
    for await (const chunk of incoming.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      for (let left: Uint8Array = chunk; left.length > 0; ) {
        const bytes = await credit.take(Math.min(left.length, MAX_CHUNK_BYTES));
        if (bytes === 0) return;
        send(left.subarray(0, bytes), false);
        left = left.subarray(bytes);
      }
    }
    send(new Uint8Array(), true);
  } catch {
    // The caller has gone, which the function hears otherwise.
  }
}

/** Bytes that may be sent. */
class Credit {
  #bytes = INITIAL_CREDIT_BYTES;
  #closed = false;
  #wake: () => void = () => {};

  grant(bytes: number): void {
    this.#bytes += bytes;
    this.#wake();
  }

  close(): void {
    this.#closed = true;
    this.#wake();
  }

  /** Waits for some; 0 when no more are wanted. */
  async take(most: number): Promise<number> {
    while (this.#bytes === 0 && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = this.#closed ? 0 : Math.min(most, this.#bytes);
    this.#bytes -= taken;
    return taken;
  }
}

/** The answer as it comes. A whole one is kept until its end, which tells whether it is an error. */
class Answer {
  readonly #outgoing: ServerResponse;
  readonly #grant: (bytes: number) => void;
  #head: ResponseHead | undefined;
  #pieces: Uint8Array[] = [];

  constructor(outgoing: ServerResponse, grant: (bytes: number) => void) {
    this.#outgoing = outgoing;
    this.#grant = grant;
  }

  /** Returns whether that was the end. */
  hear(report: Exclude<InvocationReport, { type: "credit" }>): boolean {
    if (report.type === "responseHead") {
      this.#head = report;
      if (report.streams) this.#writeHead(report);
      this.#write(report.payload);
    } else if (report.type === "payloadChunk") {
      this.#write(report.data);
      if (report.last) this.#end("");
    } else {
      this.#end(report.functionError, report.errorMessage);
    }
    return report.type === "invokeEnd";
  }

  /** There is no answer, or no more of it. */
  fail(message: string): void {
    if (this.#outgoing.headersSent) this.#outgoing.destroy();
    else this.#outgoing.writeHead(502, { "content-type": "text/plain" }).end(`${message}\n`);
  }

  #write(data: Uint8Array): void {
    if (data.length === 0) return;
    if (this.#head?.streams !== true) {
      this.#pieces.push(data);
      this.#grant(data.length);
    } else if (this.#outgoing.write(data)) {
      this.#grant(data.length);
    } else {
      const grant = () => this.#grant(data.length);
      once(this.#outgoing, "drain").then(grant, () => {});
    }
  }

  #end(functionError: string, errorMessage = ""): void {
    if (this.#outgoing.writableEnded || this.#outgoing.destroyed) return;
    const head = this.#head;
    if (head === undefined || (head.streams && functionError !== "")) {
      this.fail(errorMessage);
      return;
    }
    if (head.streams) {
      this.#outgoing.end();
      return;
    }
    // As the server answers for a function that failed.
    this.#writeHead(functionError === "" ? head : { ...head, status: 502 });
    this.#outgoing.end(Buffer.concat(this.#pieces));
  }

  #writeHead({ status, headers }: ResponseHead): void {
    this.#outgoing.writeHead(
      status,
      headers.flatMap(({ name, value }) => [name, value]),
    );
    if (this.#head?.streams) this.#outgoing.flushHeaders();
  }
}
