import type { FunctionFailed } from "@firn/protocol";
import { stackOf } from "./errors/thrown.ts";

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
