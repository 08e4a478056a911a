import type { FunctionFailed } from "@firn/protocol";

/** Why a function cannot be used; the host gets it as {@link FunctionFailed}. */
export class FunctionError extends Error {
  readonly code: "FIRN_FUNCTION_IMPORT" | "FIRN_FUNCTION_NOT_READY" | "FIRN_FUNCTION_HOOK";

  constructor(code: FunctionError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "FunctionError";
    this.code = code;
  }

  /** What the host is told. */
  toReport(): FunctionFailed {
    return { code: this.code, message: this.message, stack: stackOf(this.cause ?? this) };
  }
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : describe(thrown);
}

/** The stack of anything that was thrown; "" if it has none. */
export function stackOf(thrown: unknown): string {
  return thrown instanceof Error && typeof thrown.stack === "string" ? thrown.stack : "";
}

/** The name of the class of anything that was thrown. */
export function typeOf(thrown: unknown): string {
  return thrown instanceof Error ? String(thrown.name) : typeof thrown;
}

function describe(thrown: unknown): string {
  try {
    return typeof thrown === "object" ? JSON.stringify(thrown) : String(thrown);
  } catch {
    return "a value that cannot be described";
  }
}
