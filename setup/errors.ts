/** Every way in which setting up, building an image or running the ARM host can fail. */
export type SetupErrorCode =
  | "COMMAND_FAILED"
  | "COMMAND_NOT_FOUND"
  | "DEADLINE_PASSED"
  | "LOCK_TIMEOUT"
  | "KERNEL_OPTION_IGNORED"
  | "NO_SYSTEM_PACKAGES"
  | "PACKAGE_CHANGED"
  | "PACKAGE_UNKNOWN"
  | "MODULE_UNKNOWN"
  | "IMAGE_TOO_LARGE"
  | "RIG_BAD_ARGUMENT"
  | "RIG_NOT_STARTED"
  | "RIG_STOPPED"
  | "RIG_NOT_UP"
  | "RIG_CHANGED"
  | "SERVER_NOT_READY"
  | "DEPLOY_FAILED"
  | "CHECK_FAILED"
  | "PORT_TAKEN";

/** An error that a person can act on: `message` says what happened, to what, and what to do. */
export class SetupError extends Error {
  override readonly name = "SetupError";
  readonly code: SetupErrorCode;

  constructor(code: SetupErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
