/** How much of an invocation's log goes with its answer, in bytes. */
const MAX_BYTES = 4096;
/** What is kept while the invocation runs: the lines that frame the function's need room too. */
const MAX_LINES = 4096;

/** How an invocation went, for the last line of its log. */
export interface Report {
  readonly durationMs: number;
  readonly memoryMib: number;
  readonly maxMemoryMib?: number | undefined;
  /** Milliseconds until the function ran, of a start that restored a snapshot or booted. */
  readonly start?: { readonly kind: "Restore" | "Init"; readonly milliseconds: number } | undefined;
}

/** Collects the end of an invocation's log, as `X-Amz-Log-Result` has it: between START, END and REPORT. */
export class LogTail {
  readonly #requestId: string;
  #lines: string[] = [];
  #bytes = 0;

  constructor(requestId: string) {
    this.#requestId = requestId;
    this.#push(`START RequestId: ${requestId} Version: $LATEST`);
  }

  /** Adds a line that the function wrote; the agent's own are not the function's. */
  add({ stream, text }: { readonly stream: string; readonly text: string }): void {
    if (stream !== "agent") this.#push(text);
  }

  /** The log's last 4 KiB in base64. */
  end(report: Report): string {
    const fields = [`REPORT RequestId: ${this.#requestId}`, ...describe(report)];
    this.#push(`END RequestId: ${this.#requestId}`);
    this.#push(fields.join("\t"));
    const all = Buffer.from(`${this.#lines.join("\n")}\n`);
    let begin = Math.max(0, all.length - MAX_BYTES);
    // Not inside a character.
    while (begin < all.length && ((all[begin] ?? 0) & 0xc0) === 0x80) begin += 1;
    return all.toString("base64", begin);
  }

  #push(line: string): void {
    this.#lines.push(line);
    this.#bytes += line.length + 1;
    while (
      this.#lines.length > 1 &&
      (this.#bytes - (this.#lines[0]?.length ?? 0) > 2 * MAX_BYTES || this.#lines.length > MAX_LINES)
    ) {
      this.#bytes -= (this.#lines.shift() ?? "").length + 1;
    }
  }
}

function describe({ durationMs, memoryMib, maxMemoryMib, start }: Report): string[] {
  const fields = [
    `Duration: ${durationMs.toFixed(2)} ms`,
    `Billed Duration: ${Math.ceil(durationMs)} ms`,
    `Memory Size: ${memoryMib} MB`,
  ];
  if (maxMemoryMib !== undefined) fields.push(`Max Memory Used: ${maxMemoryMib} MB`);
  if (start !== undefined) fields.push(`${start.kind} Duration: ${start.milliseconds.toFixed(2)} ms`);
  return fields;
}
