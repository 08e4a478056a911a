import type { Duplex } from "node:stream";
import {
  AGENT_ABI,
  decodeGuestMessage,
  encodeHostMessage,
  FrameDecoder,
  frame,
  type GuestMessage,
  type HostMessage,
  type LogLine,
} from "@firn/protocol";
import { type Deadline, withDeadline } from "../deadline.ts";
import { type FunctionFailedError, failureOfGuest, SnapshotError } from "../errors.ts";
import { Exchange } from "./exchange.ts";
import type { InvokeRequest } from "./invocation.ts";
import { LOG_BYTES_PER_SECOND, LogLimit } from "./log-limit.ts";

/** The messages of the guest that are about one invocation. */
type ExchangeMessage = Extract<
  GuestMessage,
  { type: "responseHead" | "payloadChunk" | "credit" | "invokeEnd" | "invokeRefused" }
>;

/** The messages of the guest that answer a step of its life. */
type StepMessage = Exclude<GuestMessage, ExchangeMessage | { type: "log" | "functionFailed" }>;

/** One line that the function ("stdout", "stderr") or the agent ("agent") wrote. */
export interface GuestLogLine {
  readonly stream: string;
  readonly text: string;
  /** "trace", "debug", "info", "warn", "error" or "fatal". */
  readonly level: string;
  /** The request that wrote it, which may have been answered; `undefined` if that is none, or not known. */
  readonly requestId: string | undefined;
}

/** More steps than this are never under way: whoever sends them is no agent. */
const MAX_WAITING_STEPS = 16;
const MAX_LOG_LINE_BYTES = 16 * 1024;
/** Invocations whose late log lines are still told apart. */
const MAX_REMEMBERED_REQUESTS = 256;

/**
 * The host's end of the agent stream of one microVM: typed messages with deadlines. The guest is not trusted: a message that
 * is malformed or out of turn fails the connection, and with it everything that waits.
 */
export class AgentConnection {
  readonly #stream: Duplex;
  readonly #decoder = new FrameDecoder();
  readonly #onLog: (line: GuestLogLine) => void;
  readonly #logLimit = new LogLimit();
  readonly #steps: StepMessage[] = [];
  readonly #exchanges = new Map<number, Exchange>();
  readonly #requestIds = new Map<number, string>();
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
   * Waits for the response to an invocation whose {@link invokeMessage} was sent, or will be, and sends what is left of its request.
   * Call it before the invocation's bytes are on their way. Its response rejects with a {@link SnapshotError}, as {@link expect} does;
   * FIRN_INSTANCE_ENDED if the function was not called.
   */
  exchange(id: number, request: InvokeRequest): Exchange {
    const exchange = new Exchange(id, request, (message) => this.#sendIfOpen(message));
    if (this.#failure !== undefined) exchange.fail(this.#failure);
    else if (this.#functionFailure !== undefined) exchange.fail(hasEnded(this.#functionFailure));
    else this.#exchanges.set(id, exchange);
    this.#requestIds.set(id, request.requestId);
    const [oldest] = this.#requestIds.keys();
    if (this.#requestIds.size > MAX_REMEMBERED_REQUESTS) this.#requestIds.delete(oldest as number);
    return exchange;
  }

  /** Ends the connection: whatever waits is rejected. */
  close(): void {
    this.#fail(new SnapshotError("FIRN_AGENT_DISCONNECTED", "The connection to the guest was closed."));
    this.#stream.destroy();
  }

  #log({ stream, level, invocation, line }: LogLine): void {
    if (!this.#logLimit.admits(line.length)) return;
    this.#tellDroppedLines();
    const text = Buffer.from(line.subarray(0, MAX_LOG_LINE_BYTES)).toString("utf8");
    this.#onLog({ stream, text, level, requestId: this.#requestIds.get(invocation) });
  }

  #tellDroppedLines(): void {
    const dropped = this.#logLimit.takeDropped();
    if (dropped === 0) return;
    const text = `${dropped} log lines were dropped: the function printed more than ${LOG_BYTES_PER_SECOND} bytes a second.`;
    this.#onLog({ stream: "agent", text, level: "warn", requestId: undefined });
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
      this.#fail(cause instanceof SnapshotError ? cause : brokenProtocol(cause));
    }
  }

  #dispatch(message: GuestMessage): void {
    switch (message.type) {
      case "log":
        this.#log(message);
        return;
      case "responseHead":
      case "payloadChunk":
      case "credit":
      case "invokeEnd":
      case "invokeRefused":
        this.#goOn(message);
        return;
      case "functionFailed":
        this.#failFunction(failureOfGuest(message.code, message.message, message.stack));
        return;
      default: {
        if (message.type === "hello" || message.type === "resumed") assertAbi(message);
        if (this.#step !== undefined) {
          this.#step.resolve(message);
          this.#step = undefined;
        } else if (this.#steps.push(message) > MAX_WAITING_STEPS) {
          throw new Error("it sent more messages than there are steps");
        }
      }
    }
  }

  #goOn(message: ExchangeMessage): void {
    // Of one whose caller has gone there may be more to come.
    const exchange = this.#exchanges.get(message.id);
    if (exchange === undefined) return;
    if (message.type === "responseHead") exchange.begin(message);
    else if (message.type === "payloadChunk") exchange.push(message);
    else if (message.type === "credit") exchange.grant(message.bytes);
    else {
      this.#exchanges.delete(message.id);
      this.#tellDroppedLines();
      if (message.type === "invokeEnd") exchange.end(message);
      else exchange.refuse(message);
    }
  }

  #sendIfOpen(message: HostMessage): void {
    if (this.#failure === undefined) this.#stream.write(AgentConnection.encode(message));
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
    for (const exchange of this.#exchanges.values()) exchange.fail(reason);
    this.#exchanges.clear();
    this.#ended.resolve(reason);
  }
}

/** What follows from another agent ABI is undefined, so it is the first thing that is looked at. */
function assertAbi(message: Extract<GuestMessage, { type: "hello" | "resumed" }>): void {
  if (message.agentAbi === AGENT_ABI) return;
  const [code, what, remedy] =
    message.type === "hello"
      ? (["FIRN_AGENT_PROTOCOL", "runtime image", "Build the runtime images again"] as const)
      : (["FIRN_SNAPSHOT_INCOMPATIBLE", "snapshot", "Make the snapshot again"] as const);
  throw new SnapshotError(
    code,
    `The agent in the ${what} has ABI ${message.agentAbi}, and this program speaks ${AGENT_ABI}. ${remedy}.`,
  );
}

function hasEnded(cause: FunctionFailedError): SnapshotError {
  const text = `The function was not called: ${cause.message} Call it in another instance.`;
  return new SnapshotError("FIRN_INSTANCE_ENDED", text, { cause });
}

function brokenProtocol(cause: unknown): SnapshotError {
  const text = `The guest broke the agent protocol: ${(cause as Error).message}`;
  return new SnapshotError("FIRN_AGENT_PROTOCOL", text, { cause });
}

function disconnected(cause?: Error): SnapshotError {
  return new SnapshotError(
    "FIRN_AGENT_DISCONNECTED",
    "The guest closed its connection, or its microVM ended.",
    cause === undefined ? undefined : { cause },
  );
}
