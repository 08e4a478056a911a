import { writeSync } from "node:fs";
import { encodeRuntimeLog, frame } from "@firn/protocol";
import { writeLogBy } from "./errors/log.ts";

/** What the methods of `console` say about how much a line matters. */
const LEVELS = {
  trace: "trace",
  debug: "debug",
  log: "info",
  info: "info",
  dir: "info",
  table: "info",
  warn: "warn",
  error: "error",
  assert: "error",
} as const;

/** Longest piece in one message, in bytes. */
const MAX_PIECE_BYTES = 64 * 1024;

type Write = typeof process.stdout.write;

/**
 * Sends what the function prints through `console`, `process.stdout` and `process.stderr` to the agent together with the invocation
 * that printed it, in the order in which it was printed. As with the streams themselves, a line is out of the process when the call
 * returns: one that is printed right before the end of the process is not lost.
 */
export class LogPipe {
  readonly #descriptor: number;
  readonly #currentInvocation: () => number;
  #level = "";

  /**
   * @param descriptor The write end of a pipe, blocking.
   * @param currentInvocation Id of the invocation whose code runs, also after its end; 0 for none.
   */
  constructor(descriptor: number, currentInvocation: () => number) {
    this.#descriptor = descriptor;
    this.#currentInvocation = currentInvocation;
  }

  /** Takes over the output of this process. */
  install(): void {
    writeLogBy((text, level) => this.#send("stderr", Buffer.from(text), level));
    for (const stream of ["stdout", "stderr"] as const) {
      process[stream].write = this.#writeTo(stream, process[stream].write.bind(process[stream]) as Write);
    }
    for (const [name, level] of Object.entries(LEVELS) as [keyof typeof LEVELS, string][]) {
      const print = console[name] as (...values: unknown[]) => void;
      const atLevel = (...values: unknown[]): void => {
        const outer = this.#level;
        this.#level = level;
        try {
          print.apply(console, values);
        } finally {
          this.#level = outer;
        }
      };
      console[name] = Object.defineProperty(atLevel, "name", { value: name });
    }
  }

  #writeTo(stream: "stdout" | "stderr", usual: Write): Write {
    const write = (
      chunk: string | Uint8Array,
      encodingOrCallback?: BufferEncoding | ((error?: Error | null) => void),
      callback?: (error?: Error | null) => void,
    ): boolean => {
      const encoding = typeof encodingOrCallback === "string" ? encodingOrCallback : undefined;
      const done = typeof encodingOrCallback === "function" ? encodingOrCallback : callback;
      // What is no text and no bytes gets the usual error.
      if (typeof chunk !== "string" && !(chunk instanceof Uint8Array))
        return usual(chunk, encoding, callback);
      try {
        this.#send(stream, typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk);
      } catch {
        // The agent reads the streams themselves too.
        return usual(chunk, encoding, done);
      }
      if (done !== undefined) process.nextTick(done);
      return true;
    };
    return write as Write;
  }

  #send(stream: string, bytes: Uint8Array, level: string = this.#level): void {
    const invocation = this.#currentInvocation();
    for (let at = 0; at < bytes.length; at += MAX_PIECE_BYTES) {
      const text = bytes.subarray(at, at + MAX_PIECE_BYTES);
      writeAll(this.#descriptor, frame(encodeRuntimeLog({ stream, text, level, invocation })));
    }
  }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(descriptor, bytes, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EINTR") throw error;
    }
  }
}
