import type { Duplex } from "node:stream";
import {
  createResumeRecord,
  decodeGuestMessage,
  encodeHostMessage,
  FrameDecoder,
  frame,
  type GuestMessage,
  type HostMessage,
} from "@firn/protocol";

/** How long a guest may take for anything it says, in an emulated host. */
const PATIENCE_MS = 120_000;

type MessageOf<Type extends GuestMessage["type"]> = Extract<GuestMessage, { type: Type }>;

/** One end of an agent stream: what a controller says to a guest, and hears. */
export class AgentConversation {
  readonly #stream: Duplex;
  readonly #heard: GuestMessage[] = [];
  readonly #log: string[] = [];
  #wake: () => void = () => {};
  #ended = false;

  constructor(stream: Duplex) {
    this.#stream = stream;
    const decoder = new FrameDecoder();
    stream.on("data", (chunk: Buffer) => {
      for (const bytes of decoder.push(chunk)) this.#hear(decodeGuestMessage(bytes));
      this.#wake();
    });
    stream.on("close", () => {
      this.#ended = true;
      this.#wake();
    });
  }

  say(message: HostMessage): void {
    this.#stream.write(frame(encodeHostMessage(message)));
  }

  /** Waits for the next message, which must be of this type; log lines do not count. */
  async expect<Type extends GuestMessage["type"]>(type: Type): Promise<MessageOf<Type>> {
    const giveUp = Date.now() + PATIENCE_MS;
    for (;;) {
      const message = this.#heard.shift();
      if (message?.type === type) return message as MessageOf<Type>;
      if (message !== undefined) throw this.#failure(`expected ${type}, heard ${JSON.stringify(message)}`);
      if (this.#ended) throw this.#failure(`expected ${type}, but the stream has ended`);
      if (Date.now() > giveUp) throw this.#failure(`expected ${type}, heard nothing for ${PATIENCE_MS} ms`);
      await this.#change();
    }
  }

  /** Has the guest fall silent and ring the doorbell. */
  async prepareSnapshot(event: 2 | 3): Promise<void> {
    this.say({ type: "prepareSnapshot" });
    await this.expect("snapshotPrepared");
    this.say({ type: "snapshotGo", event });
  }

  #hear(message: GuestMessage): void {
    if (message.type === "log") this.#log.push(Buffer.from(message.line).toString());
    else this.#heard.push(message);
  }

  #change(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, 1000);
    this.#wake = () => {
      clearTimeout(timer);
      resolve();
    };
    return promise;
  }

  #failure(what: string): Error {
    return new Error(`${what}; the guest's log:\n${this.#log.join("\n")}`);
  }
}

/** A resume record, framed, different in every call. */
export function resumeBytes(): Uint8Array {
  return frame(encodeHostMessage({ type: "resume", ...createResumeRecord() }));
}

/** A request to load a function, framed. */
export function loadFunctionBytes(environment: Record<string, string>): Uint8Array {
  const rest = {
    entry: "index.js",
    handler: "",
    readyTimeoutMs: 10_000,
    functionName: "test",
    memoryMib: 256,
  };
  return frame(encodeHostMessage({ type: "loadFunction", ...rest, environment }));
}
