import type { Microvm } from "@firn/vmm";
import { errorCode, SnapshotError } from "../errors.ts";

const EXIT_WAIT_MS = 1000;
const CONSOLE_TAIL_BYTES = 4096;

/** Keeps the last 4 KiB of a guest's console, to go with an error. */
export class ConsoleTail {
  #text = "";

  /** @param console The console, or `null` if the microVM was started without. */
  constructor(console: NodeJS.ReadableStream | null) {
    console?.on("data", (chunk: Buffer) => {
      this.#text = (this.#text + chunk.toString("latin1")).slice(-CONSOLE_TAIL_BYTES);
    });
    console?.on("error", () => {});
  }

  /** What the guest wrote last, without control characters other than line ends. */
  get text(): string {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the guest writes whatever it likes
    return this.#text.replace(/[\x00-\x09\x0b-\x1f\x7f-\xff]/g, "").trim();
  }
}

/**
 * Finds the error behind a failed conversation with a guest: if its microVM has ended, that is the reason.
 *
 * @param console What the guest wrote last; it is added to the message.
 */
export async function explainFailure(error: unknown, vm: Microvm, console?: ConsoleTail): Promise<unknown> {
  const code = errorCode(error);
  if (code !== "FIRN_AGENT_DISCONNECTED" && code !== "FIRN_TIMEOUT") return error;
  const tail =
    console === undefined || console.text === "" ? "" : `\nLast lines of its console:\n${console.text}`;
  if (code === "FIRN_TIMEOUT") {
    return tail === "" ? error : new SnapshotError(code, (error as Error).message + tail, { cause: error });
  }
  const timer = Promise.withResolvers<undefined>();
  const timeout = setTimeout(() => timer.resolve(undefined), EXIT_WAIT_MS);
  const exit = await Promise.race([vm.exited, timer.promise]);
  clearTimeout(timeout);
  if (exit?.error !== undefined) return exit.error;
  const reason = exit === undefined ? "" : ` (${exit.reason})`;
  return new SnapshotError(code, `The guest ended or closed its connection${reason}.${tail}`, {
    cause: error,
  });
}
