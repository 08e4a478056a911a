/** One HTTP header; a name may occur more than once. */
export interface Header {
  readonly name: string;
  readonly value: string;
}

/** First message to a microVM that resumes after a doorbell: a restored clone, or the source itself. */
export interface ResumeRecord {
  /** 16 bytes, different for every resume. */
  readonly generation: Uint8Array;
  /** 64 bytes of entropy, different for every resume. */
  readonly entropy: Uint8Array;
  /** Wall clock, whole seconds since 1970-01-01T00:00:00Z. */
  readonly clockSeconds: number;
  /** Wall clock, nanoseconds within the second: 0 to 999,999,999. */
  readonly clockNanoseconds: number;
  /** Variables that are set before the after-restore hooks run. In no snapshot that was taken before. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Mounts the app disk and imports the function. */
export interface LoadFunction {
  /** Path of the module below the mount point of the app disk, for example "index.js". */
  readonly entry: string;
  /** Name of the exported handler; "default" if empty. */
  readonly handler: string;
  /** Variables that are set before the import, and are part of every snapshot that is taken from then on. */
  readonly environment: Readonly<Record<string, string>>;
  /** How long the function may take until it is ready, in milliseconds; 0 stands for a minute. */
  readonly readyTimeoutMs: number;
  readonly functionName: string;
  readonly memoryMib: number;
  /** A function that is an HTTP server: the program that is started, and its arguments. Nothing is imported then. */
  readonly command?: readonly string[];
  /** The port at which it listens, 1 to 65535; also in its variable PORT. */
  readonly port?: number;
}

/** The function is loaded, and says that it is ready. */
export interface FunctionReady {
  /** Whether it waits for a restore before it asks for invocations: one that is sent before a snapshot stands for the restore. */
  readonly awaitsRestore?: boolean;
}

/** Asks the guest to ring the doorbell with this event. */
export interface SnapshotGo {
  /** 2: base ready, 3: warm. */
  readonly event: number;
}

/** Calls the function. */
export interface Invoke {
  /** Unique among the invocations of a microVM, at least 1. */
  readonly id: number;
  readonly requestId: string;
  /** Milliseconds the function may take from the receipt of this message. */
  readonly timeoutMs: number;
  /** "event": the payload is the JSON event of a handler. "http": it is the body of a request for a fetch handler. */
  readonly kind: "event" | "http";
  /** The first bytes of the payload, all of them unless `more`; at most {@link INITIAL_CREDIT_BYTES}. */
  readonly payload: Uint8Array;
  /** Kind "http" only. */
  readonly method?: string;
  /** Kind "http" only: an absolute URL. */
  readonly url?: string;
  /** Kind "http" only. */
  readonly headers?: readonly Header[];
  /** Whether {@link PayloadChunk}s follow. */
  readonly more?: boolean;
  /** The trace that the invocation is a part of, as its caller named it. */
  readonly traceId?: string;
  /** What the caller says of itself, JSON: the client context of AWS Lambda. */
  readonly clientContext?: string;
  /** Version of the function as it was invoked. */
  readonly functionVersion?: string;
  /** Full name of the function as it was invoked. */
  readonly functionArn?: string;
  /** Whether this is a sample that a deploy has the function answer, to make it fast and to try it. */
  readonly rehearsal?: boolean;
}

/** Asks the function to give up an invocation; its end is told nevertheless. */
export interface CancelInvoke {
  readonly id: number;
}

/** A piece of a payload, of the request or of the response. */
export interface PayloadChunk {
  /** Of the invocation. */
  readonly id: number;
  /** At most {@link MAX_CHUNK_BYTES}. */
  readonly data: Uint8Array;
  /**
   * Whether this is the last piece. A request's payload ends with it. A response's ends with {@link InvokeEnd} too: the last piece is told
   * only where the function works on after its response is complete.
   */
  readonly last: boolean;
}

/** The receiver of a payload has consumed some of it. */
export interface Credit {
  /** Of the invocation. */
  readonly id: number;
  /** Further bytes that may be sent. */
  readonly bytes: number;
}

/** Everything the host says, told apart by `type`. */
export type HostMessage =
  | ({ readonly type: "resume" } & ResumeRecord)
  | ({ readonly type: "loadFunction" } & LoadFunction)
  | { readonly type: "prepareSnapshot" }
  | ({ readonly type: "snapshotGo" } & SnapshotGo)
  | ({ readonly type: "invoke" } & Invoke)
  | ({ readonly type: "cancelInvoke" } & CancelInvoke)
  | ({ readonly type: "payloadChunk" } & PayloadChunk)
  | ({ readonly type: "credit" } & Credit);

/** First message of the guest, once, after it has connected. */
export interface AgentHello {
  /** The agent ABI that the agent speaks; compare with {@link AGENT_ABI}. */
  readonly agentAbi: number;
  readonly agentVersion: string;
  /** Whether the doorbell answered with its magic number and a version that the agent knows. */
  readonly doorbellPresent: boolean;
  /** As the manifest of the runtime's image has it, for example "node24"; "" if that cannot be read. */
  readonly runtimeName: string;
  /** Of the language's own program. */
  readonly runtimeVersion: string;
}

/**
 * The function threw at import, failed in a hook, did not get ready in time, or its process has ended. Invocations that were under way
 * when a process ended have been answered before this.
 */
export interface FunctionFailed {
  /** FIRN_FUNCTION_IMPORT, FIRN_FUNCTION_NOT_READY, FIRN_FUNCTION_EXITED, FIRN_FUNCTION_HOOK or FIRN_AGENT. */
  readonly code: string;
  readonly message: string;
  readonly stack: string;
}

/** Something in the function that clones of the snapshot will share although they should not. */
export interface Warning {
  /** For example FIRN_CHILD_PROCESS. */
  readonly code: string;
  /** What, and what to do. */
  readonly message: string;
}

/** The guest's last message before the doorbell. */
export interface SnapshotPrepared {
  readonly warnings: readonly Warning[];
}

/** Begins the answer of an invocation. */
export interface ResponseHead {
  readonly id: number;
  /** HTTP status for kind "http", 200 for an event. */
  readonly status: number;
  readonly headers: readonly Header[];
  /** The first bytes of the payload; at most {@link INITIAL_CREDIT_BYTES}. */
  readonly payload: Uint8Array;
  /** Whether the function writes the payload piece by piece. If not, all of it is there and about to come. */
  readonly streams?: boolean;
}

/** The last message about an invocation. */
export interface InvokeEnd {
  readonly id: number;
  /** "" if the function answered; "Unhandled" if it threw, rejected or timed out; "Handled". */
  readonly functionError: string;
  /** Name of the error's class, if the function failed after its payload had begun, which is then not complete; else "". */
  readonly errorType: string;
  readonly errorMessage: string;
  /** From the receipt of the invocation until this, in microseconds. */
  readonly durationUs: number;
  /** Most memory that the function had since it was started, in KiB; 0 if that is not known. */
  readonly memoryPeakKib: number;
  /** Microseconds until the function was ready, with its first invocation if no snapshot was taken in between; else 0. */
  readonly initUs: number;
  /** Microseconds from the resume record until the after-restore hooks were done, with the first invocation; else 0. */
  readonly restoreUs: number;
}

/** The invocation never reached the function: it may be made again elsewhere. */
export interface InvokeRefused {
  readonly id: number;
  /** FIRN_FUNCTION_EXITED or FIRN_AGENT. */
  readonly code: string;
  readonly message: string;
}

/** The whole answer of one invocation, put together from its messages. */
export interface InvokeResult {
  readonly id: number;
  /** HTTP status for kind "http", 200 for an event. */
  readonly status: number;
  readonly headers: readonly Header[];
  readonly payload: Uint8Array;
  /** "" if the function answered; "Unhandled" if it threw, rejected or timed out; "Handled". */
  readonly functionError: string;
}

/** One line that the function or the agent wrote, without its line end. */
export interface LogLine {
  /** "stdout", "stderr" or "agent". */
  readonly stream: string;
  readonly line: Uint8Array;
  /** "trace", "debug", "info", "warn", "error" or "fatal". */
  readonly level: string;
  /** The invocation that wrote it; 0 if that is none, or not known. It may have ended. */
  readonly invocation: number;
}

/** The guest has reseeded, set its clock, thawed the function and run the after-restore hooks. */
export interface Resumed {
  /** Rises by one with every resume. */
  readonly doorbellCount: number;
  /** As in {@link AgentHello}: a snapshot holds the agent of the day on which it was taken. */
  readonly agentAbi: number;
  readonly runtimeName: string;
  readonly runtimeVersion: string;
}

/** Everything the guest says, told apart by `type`. */
export type GuestMessage =
  | ({ readonly type: "hello" } & AgentHello)
  | { readonly type: "runtimeReady" }
  | ({ readonly type: "functionReady" } & FunctionReady)
  | ({ readonly type: "functionFailed" } & FunctionFailed)
  | ({ readonly type: "snapshotPrepared" } & SnapshotPrepared)
  | ({ readonly type: "responseHead" } & ResponseHead)
  | ({ readonly type: "payloadChunk" } & PayloadChunk)
  | ({ readonly type: "credit" } & Credit)
  | ({ readonly type: "invokeEnd" } & InvokeEnd)
  | ({ readonly type: "invokeRefused" } & InvokeRefused)
  | ({ readonly type: "log" } & LogLine)
  | ({ readonly type: "resumed" } & Resumed);

/** Sets variables of a process that runs. */
export interface SetEnvironment {
  readonly environment: Readonly<Record<string, string>>;
}

/** Everything the agent says to the runtime process, told apart by `type`. */
export type RuntimeCommand =
  | ({ readonly type: "loadFunction" } & LoadFunction)
  | { readonly type: "prepareSnapshot" }
  | ({ readonly type: "invoke" } & Invoke)
  | ({ readonly type: "cancelInvoke" } & CancelInvoke)
  | ({ readonly type: "payloadChunk" } & PayloadChunk)
  | ({ readonly type: "credit" } & Credit)
  | ({ readonly type: "setEnvironment" } & SetEnvironment);

/** Everything the runtime process says to the agent, told apart by `type`. The agent fills in the times and the memory of an end. */
export type RuntimeReport =
  | { readonly type: "runtimeReady" }
  | ({ readonly type: "functionReady" } & FunctionReady)
  | ({ readonly type: "functionFailed" } & FunctionFailed)
  | { readonly type: "quiesced"; readonly warnings: readonly Warning[] }
  | { readonly type: "resumed" }
  | ({ readonly type: "responseHead" } & ResponseHead)
  | ({ readonly type: "payloadChunk" } & PayloadChunk)
  | ({ readonly type: "credit" } & Credit)
  | ({ readonly type: "invokeEnd" } & InvokeEnd);

/** What the runtime process reads from the gate when it resumes. */
export interface RuntimeResume {
  /** 64 bytes, derived from the resume record, unlike what the kernel was seeded with. */
  readonly entropy: Uint8Array;
  /** Variables to set before the after-restore hooks run. */
  readonly environment: Readonly<Record<string, string>>;
}

/** What the runtime process writes to the log pipe. */
export interface RuntimeLog {
  /** "stdout" or "stderr". */
  readonly stream: string;
  /** What was printed, cut anywhere: the agent makes lines of it. */
  readonly text: Uint8Array;
  /** As in {@link LogLine}; "" for the usual one of the stream. */
  readonly level: string;
  /** The invocation that printed it, also one that has ended; 0 for none. */
  readonly invocation: number;
}

/** The agent ABI of this package: messages, framing, credit and the descriptors of a runtime. */
export const AGENT_ABI = 2;

/** Bytes of a payload that may be sent, each invocation and direction for itself, before any credit is granted. */
export const INITIAL_CREDIT_BYTES: number = 256 * 1024;

/** Most bytes of one {@link PayloadChunk}. */
export const MAX_CHUNK_BYTES: number = 64 * 1024;
