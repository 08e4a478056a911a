/** What is known of why a function failed. */
export interface FunctionFailure {
  readonly errorMessage: string;
  readonly stack: string;
}

/** Reads the error object of the Lambda API that the guest's runtime answers with. */
export function failureOf(payload: Uint8Array): FunctionFailure {
  const text = Buffer.from(payload).toString("utf8");
  try {
    const value = JSON.parse(text) as Record<string, unknown> | null;
    const trace = value?.trace ?? value?.stackTrace;
    return {
      errorMessage: String(value?.errorMessage ?? "it gave no reason"),
      stack: Array.isArray(trace) ? trace.join("\n") : "",
    };
  } catch {
    return { errorMessage: text.slice(0, 1000) || "it gave no reason", stack: "" };
  }
}
