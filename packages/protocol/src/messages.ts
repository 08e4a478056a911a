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
}

/** Mounts the app disk and imports the function. */
export interface LoadFunction {
  /** Path of the module below the mount point of the app disk, for example "index.js". */
  readonly entry: string;
  /** Name of the exported handler; "default" if empty. */
  readonly handler: string;
  readonly environment: Readonly<Record<string, string>>;
  /** How long the function may take until it is ready, in milliseconds; 0 stands for a minute. */
  readonly readyTimeoutMs: number;
  readonly functionName: string;
  readonly memoryMib: number;
}

/** Asks the guest to ring the doorbell with this event. */
export interface SnapshotGo {
  /** 2: base ready, 3: warm. */
  readonly event: number;
}

/** Calls the function. */
export interface Invoke {
  /** Unique among the invocations of a microVM. */
  readonly id: number;
  readonly requestId: string;
  /** Milliseconds the function may take from the receipt of this message. */
  readonly timeoutMs: number;
  /** "event": the payload is the JSON event of a handler. "http": it is the body of a request for a fetch handler. */
  readonly kind: "event" | "http";
  readonly payload: Uint8Array;
  /** Kind "http" only. */
  readonly method?: string;
  /** Kind "http" only: an absolute URL. */
  readonly url?: string;
  /** Kind "http" only. */
  readonly headers?: readonly Header[];
}

/** Aborts an invocation that is still running; its result arrives nevertheless. */
export interface CancelInvoke {
  readonly id: number;
}

/** Everything the host says, told apart by `type`. */
export type HostMessage =
  | ({ readonly type: "resume" } & ResumeRecord)
  | ({ readonly type: "loadFunction" } & LoadFunction)
  | { readonly type: "prepareSnapshot" }
  | ({ readonly type: "snapshotGo" } & SnapshotGo)
  | ({ readonly type: "invoke" } & Invoke)
  | ({ readonly type: "cancelInvoke" } & CancelInvoke);

/** First message of the guest, once, after it has connected. */
export interface AgentHello {
  /** The version of this protocol that the agent speaks; compare with {@link PROTOCOL_VERSION}. */
  readonly protocolVersion: number;
  readonly agentVersion: string;
  /** Whether the doorbell answered with its magic number and a version that the agent knows. */
  readonly doorbellPresent: boolean;
}

/** The runtime process waits for a function. */
export interface RuntimeReady {
  /** Name and version, for example "node 24.9.0". */
  readonly runtime: string;
}

/** The function threw at import, exited, failed in a hook, or did not get ready in time. */
export interface FunctionFailed {
  /** FIRN_FUNCTION_IMPORT, FIRN_FUNCTION_NOT_READY, FIRN_FUNCTION_EXITED, FIRN_FUNCTION_HOOK or FIRN_AGENT. */
  readonly code: string;
  readonly message: string;
  readonly stack: string;
}

/** The answer of one invocation. */
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
}

/** The guest has reseeded, set its clock, thawed the function and run the after-restore hooks. */
export interface Resumed {
  /** Rises by one with every resume. */
  readonly doorbellCount: number;
}

/** Everything the guest says, told apart by `type`. */
export type GuestMessage =
  | ({ readonly type: "hello" } & AgentHello)
  | ({ readonly type: "runtimeReady" } & RuntimeReady)
  | { readonly type: "functionReady" }
  | ({ readonly type: "functionFailed" } & FunctionFailed)
  | { readonly type: "snapshotPrepared" }
  | ({ readonly type: "invokeResult" } & InvokeResult)
  | ({ readonly type: "log" } & LogLine)
  | ({ readonly type: "resumed" } & Resumed);

/** Everything the agent says to the runtime process, told apart by `type`. */
export type RuntimeCommand =
  | ({ readonly type: "loadFunction" } & LoadFunction)
  | { readonly type: "prepareSnapshot" }
  | ({ readonly type: "invoke" } & Invoke)
  | ({ readonly type: "cancelInvoke" } & CancelInvoke);

/** Everything the runtime process says to the agent, told apart by `type`. */
export type RuntimeReport =
  | ({ readonly type: "runtimeReady" } & RuntimeReady)
  | { readonly type: "functionReady" }
  | ({ readonly type: "functionFailed" } & FunctionFailed)
  | { readonly type: "quiesced" }
  | { readonly type: "resumed" }
  | ({ readonly type: "invokeResult" } & InvokeResult);

/** What the runtime process reads from the gate when it resumes. */
export interface RuntimeResume {
  /** 64 bytes, derived from the resume record, unlike what the kernel was seeded with. */
  readonly entropy: Uint8Array;
}

/** Version of the agent protocol that this package speaks. */
export const PROTOCOL_VERSION = 1;
