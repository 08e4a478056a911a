import type { Invoke, PayloadChunk, RuntimeReport } from "@firn/protocol";

interface Incoming {
  readonly invoke: Invoke;
  readonly pieces: Uint8Array[];
}

/** Invocations whose payload is not complete. */
export class IncomingPayloads {
  readonly #incoming = new Map<number, Incoming>();
  readonly #send: (report: RuntimeReport) => void;

  constructor(send: (report: RuntimeReport) => void) {
    this.#send = send;
  }

  /** Takes an invocation. Returns it if its payload is complete. */
  begin(invoke: Invoke): Invoke | undefined {
    if (invoke.more !== true) return invoke;
    this.#incoming.set(invoke.id, { invoke, pieces: [invoke.payload] });
    this.#grant(invoke.id, invoke.payload.length);
    return undefined;
  }

  /** Takes a further piece. Returns the invocation if this was the last one. */
  push({ id, data, last }: PayloadChunk): Invoke | undefined {
    const incoming = this.#incoming.get(id);
    if (incoming === undefined) return undefined;
    incoming.pieces.push(data);
    if (!last) {
      this.#grant(id, data.length);
      return undefined;
    }
    this.#incoming.delete(id);
    return { ...incoming.invoke, payload: Buffer.concat(incoming.pieces) };
  }

  /** Gives one up. Returns whether it was here. */
  forget(id: number): boolean {
    return this.#incoming.delete(id);
  }

  #grant(id: number, bytes: number): void {
    if (bytes > 0) this.#send({ type: "credit", id, bytes });
  }
}
