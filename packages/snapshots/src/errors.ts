/** Stable codes of the errors that this package throws itself; those of `@firn/vmm` and `@firn/protocol` pass through. */
export type SnapshotErrorCode =
  /** A blob is not what its digest or its manifest says. */
  | "FIRN_SNAPSHOT_CORRUPT"
  /** A snapshot, or a blob that it needs, is not in the store. */
  | "FIRN_SNAPSHOT_MISSING"
  /** A snapshot was made with another format, kernel, root disk or host. */
  | "FIRN_SNAPSHOT_INCOMPATIBLE"
  /** The folder is no store, or one of a version that this package does not know. */
  | "FIRN_STORE_FORMAT"
  /** Another process has the store open, or this one has already. */
  | "FIRN_STORE_IN_USE"
  /** A parameter is outside its range. */
  | "FIRN_INVALID_PARAMETER"
  /** A file that the configuration names is missing: kernel, root disk, scratch disk. */
  | "FIRN_FILE_MISSING"
  /** A runtime's manifest is malformed, or of another version. */
  | "FIRN_RUNTIME_INVALID"
  /** No runtime of that name. */
  | "FIRN_RUNTIME_UNKNOWN"
  /** The instance cannot be snapshotted as it is. */
  | "FIRN_SNAPSHOT_REFUSED"
  /** The guest's agent closed its stream, or the microVM ended. */
  | "FIRN_AGENT_DISCONNECTED"
  /** The guest's agent said something that it may not say now. */
  | "FIRN_AGENT_PROTOCOL"
  /** The instance cannot take a request: it is busy, or its function or microVM has ended. The function was not called. */
  | "FIRN_INSTANCE_ENDED"
  /** The function failed after its response had begun, which is not complete. */
  | "FIRN_RESPONSE_BROKEN"
  /** A deadline passed. */
  | "FIRN_TIMEOUT"
  /** The caller's signal was aborted. */
  | "FIRN_ABORTED"
  /** The function ran longer than its timeout and was stopped. */
  | "FIRN_INVOKE_TIMEOUT";

/** An error with a stable code and a message that says what happened, to what, and what to do. */
export class SnapshotError extends Error {
  readonly code: SnapshotErrorCode;

  constructor(code: SnapshotErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "SnapshotError";
    this.code = code;
  }
}

/** What a guest may say of a failure. Any other code is the host's, which acts on some: a guest must not set that off. */
const GUEST_CODES: ReadonlySet<string> = new Set([
  "FIRN_FUNCTION_IMPORT",
  "FIRN_FUNCTION_NOT_READY",
  "FIRN_FUNCTION_EXITED",
  "FIRN_FUNCTION_HOOK",
  "FIRN_AGENT",
  "FIRN_PROTOCOL",
  "FIRN_RUNTIME_MANIFEST",
]);

/** The function itself failed in the guest: it threw at import or in a hook, exited, or did not get ready. */
export class FunctionFailedError extends Error {
  /**
   * FIRN_FUNCTION_IMPORT, FIRN_FUNCTION_NOT_READY, FIRN_FUNCTION_EXITED, FIRN_FUNCTION_HOOK or FIRN_FUNCTION_SAMPLE; FIRN_AGENT,
   * FIRN_PROTOCOL or FIRN_RUNTIME_MANIFEST if it is the guest's own parts that failed; FIRN_AGENT_PROTOCOL for any other code of a guest.
   */
  readonly code: string;
  /** The stack as the guest's runtime gave it; may be empty. */
  readonly guestStack: string;

  constructor(code: string, message: string, guestStack: string) {
    super(message);
    this.name = "FunctionFailedError";
    this.code = code;
    this.guestStack = guestStack;
  }
}

/** The failure that a guest reports, whatever it says. */
export function failureOfGuest(code: string, message: string, guestStack: string): FunctionFailedError {
  return new FunctionFailedError(GUEST_CODES.has(code) ? code : "FIRN_AGENT_PROTOCOL", message, guestStack);
}

/** The stable code of any error of Firn's packages, or `undefined`. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
