/** What the command's exit status tells. */
export const EXIT = {
  /** The server refused, or the function failed. */
  failed: 1,
  /** The command was written wrongly. */
  usage: 2,
  /** No server answers. */
  unreachable: 3,
} as const;

/** An error that ends the command: a sentence for the user, and an exit status. */
export class CliError extends Error {
  readonly exitCode: number;
  /** Stable code, if there is one. */
  readonly code: string | undefined;
  /** More lines, such as the stack of the function's error. */
  readonly details: string;

  constructor(
    message: string,
    options: ErrorOptions & { exitCode?: number; code?: string | undefined; details?: string } = {},
  ) {
    super(message, options);
    this.name = "CliError";
    this.exitCode = options.exitCode ?? EXIT.failed;
    this.code = options.code;
    this.details = options.details ?? "";
  }
}
