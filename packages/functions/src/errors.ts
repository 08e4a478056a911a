/** Stable codes of the errors that this package throws itself; those of `@firn/snapshots` and `@firn/vmm` pass through. */
export type FunctionsErrorCode =
  /** The app cannot be made into an image: bad archive, bad path, missing entry. */
  | "FIRN_APP_INVALID"
  /** The app is larger than allowed. */
  | "FIRN_APP_TOO_LARGE"
  /** A program that is needed is not installed. */
  | "FIRN_TOOL_MISSING"
  /** Another process has the catalog open. */
  | "FIRN_STORE_IN_USE"
  /** The catalog is no database, or one of a version that this package does not know. */
  | "FIRN_STORE_FORMAT"
  /** No runtime of that name. */
  | "FIRN_RUNTIME_UNKNOWN"
  /** A runtime's manifest cannot be read. */
  | "FIRN_RUNTIME_INVALID"
  /** No function of that name. */
  | "FIRN_FUNCTION_NOT_FOUND"
  /** The function is being deployed. */
  | "FIRN_FUNCTION_PENDING"
  /** The last deploy of the function failed. */
  | "FIRN_FUNCTION_FAILED"
  /** A warm start was asked for, and no instance waits. */
  | "FIRN_NO_IDLE_INSTANCE"
  /** All instances that may be are serving. */
  | "FIRN_TOO_MANY_INSTANCES"
  /** A parameter is outside its range. */
  | "FIRN_INVALID_PARAMETER"
  /** The program ends. */
  | "FIRN_ABORTED";

/** An error with a stable code and a message that says what happened, to what, and what to do. */
export class FunctionsError extends Error {
  readonly code: FunctionsErrorCode;

  constructor(code: FunctionsErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "FunctionsError";
    this.code = code;
  }
}
