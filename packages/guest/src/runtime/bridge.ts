import { Socket } from "node:net";
import {
  decodeRuntimeCommand,
  encodeRuntimeReport,
  FrameDecoder,
  frame,
  type RuntimeCommand,
  type RuntimeReport,
} from "@firn/protocol";
import { Reply } from "./payloads/reply.ts";
import { RequestPayload } from "./payloads/request-payload.ts";

/** What is done with commands: pieces of payloads and credit for them apart, which the bridge handles itself. */
export type Command = Exclude<RuntimeCommand, { type: "payloadChunk" | "credit" }>;

/** Both directions of an invocation. */
export interface Exchange {
  readonly payload: RequestPayload;
  readonly reply: Reply;
}

/** The stream of messages between the agent and this process. */
export class Bridge {
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();
  readonly #exchanges = new Map<number, Exchange>();
  readonly #onCommand: (command: Command, exchange?: Exchange) => void;

  /**
   * @param descriptor One end of a socket pair; this object owns it from now on.
   * @param onCommand Gets every command of the agent, in order. An invocation comes with its exchange, which {@link forget} ends.
   * @param onEnd Called once when the agent is gone, or has sent what cannot be decoded.
   */
  constructor(
    descriptor: number,
    onCommand: (command: Command, exchange?: Exchange) => void,
    onEnd: (error?: Error) => void,
  ) {
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

  /** What comes for an invocation from now on is of no interest. */
  forget(id: number): void {
    this.#exchanges.delete(id);
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
        const { id, payload, more = false } = command;
        const grant = (bytes: number) => void this.send({ type: "credit", id, bytes });
        const exchange = {
          payload: new RequestPayload(payload, !more, grant),
          reply: new Reply(id, (bytes) => this.#write(bytes)),
        };
        this.#exchanges.set(id, exchange);
        this.#onCommand(command, exchange);
        break;
      }
      case "payloadChunk":
        this.#exchanges.get(command.id)?.payload.push(command.data, command.last);
        break;
      case "credit":
        this.#exchanges.get(command.id)?.reply.grant(command.bytes);
        break;
      case "cancelInvoke": {
        const exchange = this.#exchanges.get(command.id);
        exchange?.reply.cancel();
        exchange?.payload.fail(new DOMException("The invocation was cancelled.", "AbortError"));
        this.#onCommand(command);
        break;
      }
      default:
        this.#onCommand(command);
    }
  }

  #write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => this.#socket.write(bytes, () => resolve()));
  }
}
