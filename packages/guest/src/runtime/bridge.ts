import { Socket } from "node:net";
import {
  decodeRuntimeCommand,
  encodeRuntimeReport,
  FrameDecoder,
  frame,
  INITIAL_CREDIT_BYTES,
  type InvokeResult,
  MAX_CHUNK_BYTES,
  type RuntimeCommand,
  type RuntimeReport,
} from "@firn/protocol";
import { IncomingPayloads } from "./incoming-payloads.ts";

/** What is done with commands: pieces of payloads and credit for them apart, which the bridge handles itself. */
export type Command = Exclude<RuntimeCommand, { type: "payloadChunk" | "credit" }>;

/** An answer on its way. */
interface Answering {
  credit: number;
  cancelled: boolean;
  wake: () => void;
}

/** The stream of messages between the agent and this process. */
export class Bridge {
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();
  readonly #incoming = new IncomingPayloads((report) => void this.send(report));
  readonly #answering = new Map<number, Answering>();
  readonly #onCommand: (command: Command) => void;

  /**
   * @param descriptor One end of a socket pair; this object owns it from now on.
   * @param onCommand Gets every command of the agent, in order. An invocation comes with the whole of its payload.
   * @param onEnd Called once when the agent is gone, or has sent what cannot be decoded.
   */
  constructor(descriptor: number, onCommand: (command: Command) => void, onEnd: (error?: Error) => void) {
    this.#onCommand = onCommand;
    this.#socket = new Socket({ fd: descriptor, readable: true, writable: true });
    this.#socket.on("data", (chunk: Buffer) => {
      let messages: Uint8Array[];
      try {
        messages = this.#decoder.push(chunk);
        for (const message of messages) this.#handle(decodeRuntimeCommand(message));
      } catch (error) {
        this.#socket.destroy();
        onEnd(error as Error);
      }
    });
    this.#socket.once("end", () => onEnd());
    this.#socket.on("error", onEnd);
  }

  /**
   * Sends a report; resolves when the kernel has all of it.
   *
   * @throws {ProtocolError} FIRN_PROTOCOL if it is longer than 16 MiB; nothing was sent then.
   */
  send(report: RuntimeReport): Promise<void> {
    return this.#write(frame(encodeRuntimeReport(report)));
  }

  /**
   * Sends an answer, piece by piece as the host takes it; resolves when the kernel has all of it.
   *
   * @throws {ProtocolError} FIRN_PROTOCOL if its status is no number or its headers are longer than 16 MiB; nothing was sent then.
   */
  async answer({ id, status, headers, payload, functionError }: InvokeResult): Promise<void> {
    const first = payload.subarray(0, INITIAL_CREDIT_BYTES);
    const head = frame(encodeRuntimeReport({ type: "responseHead", id, status, headers, payload: first }));
    const rest = payload.subarray(first.length);
    if (rest.length === 0) return this.#write(Buffer.concat([head, endFrame(id, functionError)]));
    const answering: Answering = { credit: 0, cancelled: false, wake: () => {} };
    this.#answering.set(id, answering);
    try {
      await this.#write(head);
      await this.#sendRest(id, rest, answering);
      const broken = answering.cancelled ? CANCELLED : undefined;
      await this.#write(endFrame(id, broken === undefined ? functionError : "Unhandled", broken));
    } finally {
      this.#answering.delete(id);
    }
  }

  /** Lets the bridge keep the event loop alive, as it does from the beginning. */
  ref(): void {
    this.#socket.ref();
  }

  /** Lets the event loop end although the bridge is open. */
  unref(): void {
    this.#socket.unref();
  }

  #handle(command: RuntimeCommand): void {
    switch (command.type) {
      case "invoke": {
        const whole = this.#incoming.begin(command);
        if (whole !== undefined) this.#onCommand({ ...whole, type: "invoke" });
        break;
      }
      case "payloadChunk": {
        const whole = this.#incoming.push(command);
        if (whole !== undefined) this.#onCommand({ ...whole, type: "invoke" });
        break;
      }
      case "credit": {
        const answering = this.#answering.get(command.id);
        if (answering === undefined) break;
        answering.credit += command.bytes;
        answering.wake();
        break;
      }
      case "cancelInvoke": {
        const answering = this.#answering.get(command.id);
        if (answering !== undefined) {
          answering.cancelled = true;
          answering.wake();
        } else if (this.#incoming.forget(command.id)) {
          void this.#write(endFrame(command.id, "Unhandled", CANCELLED));
        } else {
          this.#onCommand(command);
        }
        break;
      }
      default:
        this.#onCommand(command);
    }
  }

  async #sendRest(id: number, rest: Uint8Array, answering: Answering): Promise<void> {
    let left = rest;
    while (left.length > 0) {
      while (answering.credit === 0 && !answering.cancelled) {
        await new Promise<void>((resolve) => {
          answering.wake = resolve;
        });
      }
      if (answering.cancelled) return;
      const data = left.subarray(0, Math.min(answering.credit, MAX_CHUNK_BYTES));
      answering.credit -= data.length;
      left = left.subarray(data.length);
      await this.send({ type: "payloadChunk", id, data, last: false });
    }
  }

  #write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => this.#socket.write(bytes, () => resolve()));
  }
}

const CANCELLED = { errorType: "AbortError", errorMessage: "The invocation was cancelled." };
const NOT_BROKEN = { errorType: "", errorMessage: "" };

/** The agent fills in what it measures. */
function endFrame(id: number, functionError: string, broken: typeof NOT_BROKEN = NOT_BROKEN): Uint8Array {
  const measured = { durationUs: 0, memoryPeakKib: 0, initUs: 0, restoreUs: 0 };
  return frame(encodeRuntimeReport({ type: "invokeEnd", id, functionError, ...broken, ...measured }));
}
