import { Socket } from "node:net";
import {
  decodeRuntimeCommand,
  encodeRuntimeReport,
  FrameDecoder,
  frame,
  type RuntimeCommand,
  type RuntimeReport,
} from "@firn/protocol";

/** The stream of messages between the agent and this process. */
export class Bridge {
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();

  /**
   * @param descriptor One end of a socket pair; this object owns it from now on.
   * @param onCommand Gets every command of the agent, in order.
   * @param onEnd Called once when the agent is gone, or has sent what cannot be decoded.
   */
  constructor(
    descriptor: number,
    onCommand: (command: RuntimeCommand) => void,
    onEnd: (error?: Error) => void,
  ) {
    this.#socket = new Socket({ fd: descriptor, readable: true, writable: true });
    this.#socket.on("data", (chunk: Buffer) => {
      let messages: Uint8Array[];
      try {
        messages = this.#decoder.push(chunk);
        for (const message of messages) onCommand(decodeRuntimeCommand(message));
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
    const framed = frame(encodeRuntimeReport(report));
    return new Promise((resolve) => this.#socket.write(framed, () => resolve()));
  }

  /** Lets the bridge keep the event loop alive, as it does from the beginning. */
  ref(): void {
    this.#socket.ref();
  }

  /** Lets the event loop end although the bridge is open. */
  unref(): void {
    this.#socket.unref();
  }
}
