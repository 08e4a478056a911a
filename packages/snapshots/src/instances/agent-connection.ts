import type { Duplex } from "node:stream";
import {
  decodeGuestMessage,
  encodeHostMessage,
  FrameDecoder,
  frame,
  type GuestMessage,
  type HostMessage,
  type InvokeResult,
} from "@firn/protocol";
import { type Deadline, withDeadline } from "../deadline.ts";
import { FunctionFailedError, SnapshotError } from "../errors.ts";

/** The messages of the guest that answer a step of its life, told apart from logs and results. */
type StepMessage = Exclude<GuestMessage, { type: "log" | "invokeResult" | "functionFailed" }>;

/** One line that the function ("stdout", "stderr") or the agent ("agent") wrote. */
export interface GuestLogLine {
  readonly stream: string;
  readonly text: string;
}

/** More steps than this are never under way: whoever sends them is no agent. */
const MAX_WAITING_STEPS = 16;
const MAX_LOG_LINE_BYTES = 16 * 1024;

/**
 * The host's end of the agent stream of one microVM: typed messages with deadlines. The guest is not trusted: a message that
 * is malformed or out of turn fails the connection, and with it everything that waits.
 */
export class AgentConnection {
  readonly #stream: Duplex;
  readonly #decoder = new FrameDecoder();
  readonly #onLog: (line: GuestLogLine) => void;
  readonly #steps: StepMessage[] = [];
  readonly #results = new Map<number, PromiseWithResolvers<InvokeResult>>();
  readonly #ended = Promise.withResolvers<Error>();
  #step: PromiseWithResolvers<StepMessage> | undefined;
  #failure: Error | undefined;
  #functionFailure: FunctionFailedError | undefined;

  constructor(stream: Duplex, options: { onLog?: (line: GuestLogLine) => void } = {}) {
    this.#stream = stream;
    this.#onLog = options.onLog ?? (() => {});
    stream.on("data", (chunk: Uint8Array) => this.#receive(chunk));
    stream.on("error", (error: Error) => this.#fail(disconnected(error)));
    stream.on("end", () => this.#fail(disconnected()));
    stream.on("close", () => this.#fail(disconnected()));
  }

  /** Encodes messages as they travel, for the bytes that a restored guest finds in its queue. */
  static encode(...messages: HostMessage[]): Uint8Array {
    return Buffer.concat(messages.map((message) => frame(encodeHostMessage(message))));
  }

  /** Whether nothing of an unfinished message is buffered. */
  get atFrameBoundary(): boolean {
    return this.#decoder.pendingBytes === 0;
  }

  /** Resolves, with the reason, as soon as no further invocation can be answered: the function or the connection has failed. */
  get ended(): Promise<Error> {
    return this.#ended.promise;
  }

  /** Sends a message; does not wait until the guest has read it. */
  send(message: HostMessage): void {
    if (this.#failure !== undefined) throw this.#failure;
    this.#stream.write(AgentConnection.encode(message));
  }

  /**
   * Waits for the next step of the guest, which must be of this type. One call at a time.
   *
   * @throws {FunctionFailedError} if the guest says instead that the function failed.
   * @throws {SnapshotError} FIRN_TIMEOUT, FIRN_ABORTED, FIRN_AGENT_DISCONNECTED or FIRN_AGENT_PROTOCOL.
   */
  async expect<T extends StepMessage["type"]>(
    type: T,
    deadline: Deadline,
  ): Promise<Extract<StepMessage, { type: T }>> {
    const message = await withDeadline(`the guest's ${type}`, deadline, () => this.#nextStep());
    if (message.type === type) return message as Extract<StepMessage, { type: T }>;
    const error = new SnapshotError(
      "FIRN_AGENT_PROTOCOL",
      `The guest said ${message.type} where ${type} was expected. Its microVM cannot be used any further.`,
    );
    this.#fail(error);
    throw error;
  }

  /**
   * Waits for the result of an invocation that was sent, or will be. Call it before the invocation's bytes are on their way.
   *
   * @throws {SnapshotError} as {@link expect}.
   * @throws {FunctionFailedError} if the function had failed before. An invocation during which its process ends has a result.
   */
  result(id: number): Promise<InvokeResult> {
    const waiting = Promise.withResolvers<InvokeResult>();
    const failure = this.#failure ?? this.#functionFailure;
    if (failure === undefined) this.#results.set(id, waiting);
    else waiting.reject(failure);
    waiting.promise.catch(() => {});
    return waiting.promise;
  }

  /** Ends the connection: whatever waits is rejected. */
  close(): void {
    this.#fail(new SnapshotError("FIRN_AGENT_DISCONNECTED", "The connection to the guest was closed."));
    this.#stream.destroy();
  }

  #nextStep(): Promise<StepMessage> {
    const arrived = this.#steps.shift();
    if (arrived !== undefined) return Promise.resolve(arrived);
    const failure = this.#functionFailure ?? this.#failure;
    if (failure !== undefined) return Promise.reject(failure);
    this.#step = Promise.withResolvers();
    return this.#step.promise;
  }

  #receive(chunk: Uint8Array): void {
    if (this.#failure !== undefined) return;
    try {
      for (const bytes of this.#decoder.push(chunk)) {
        this.#dispatch(decodeGuestMessage(bytes));
        if (this.#failure !== undefined) return;
      }
    } catch (cause) {
      this.#fail(
        new SnapshotError(
          "FIRN_AGENT_PROTOCOL",
          `The guest broke the agent protocol: ${(cause as Error).message}`,
          {
            cause,
          },
        ),
      );
    }
  }

  #dispatch(message: GuestMessage): void {
    switch (message.type) {
      case "log": {
        const line = message.line.subarray(0, MAX_LOG_LINE_BYTES);
        this.#onLog({ stream: message.stream, text: Buffer.from(line).toString("utf8") });
        return;
      }
      case "invokeResult": {
        // The result of a cancelled invocation may come after its caller has gone.
        this.#results.get(message.id)?.resolve(message);
        this.#results.delete(message.id);
        return;
      }
      case "functionFailed":
        this.#failFunction(new FunctionFailedError(message.code, message.message, message.stack));
        return;
      default: {
        if (this.#step !== undefined) {
          this.#step.resolve(message);
          this.#step = undefined;
        } else if (this.#steps.push(message) > MAX_WAITING_STEPS) {
          throw new Error("it sent more messages than there are steps");
        }
      }
    }
  }

  /** Those who wait for results get them: the agent answers for a function whose process has ended. */
  #failFunction(error: FunctionFailedError): void {
    const wasAwaited = this.#step !== undefined;
    this.#step?.reject(error);
    this.#step = undefined;
    // A hook that fails is the answer to the step that ran it, and the function goes on.
    if (wasAwaited && error.code === "FIRN_FUNCTION_HOOK") return;
    this.#functionFailure ??= error;
    this.#ended.resolve(error);
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    const reason = this.#functionFailure ?? error;
    this.#step?.reject(reason);
    this.#step = undefined;
    for (const waiting of this.#results.values()) waiting.reject(reason);
    this.#results.clear();
    this.#ended.resolve(reason);
  }
}

function disconnected(cause?: Error): SnapshotError {
  return new SnapshotError(
    "FIRN_AGENT_DISCONNECTED",
    "The guest closed its connection, or its microVM ended.",
    cause === undefined ? undefined : { cause },
  );
}
