import type { Microvm } from "@firn/vmm";

const PATIENCE_MS = 120_000;

/** What a guest says on its console in lines that a mark begins, one after the other. */
export class GuestConsole {
  readonly #lines: AsyncGenerator<string>;

  constructor(microvm: Microvm, mark: string) {
    this.#lines = marked(microvm, mark);
  }

  /** The next line, without its mark. */
  async next(): Promise<string> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error("the guest said nothing")), PATIENCE_MS);
    try {
      const { value, done } = await Promise.race([this.#lines.next(), promise]);
      if (done === true) throw new Error("the guest has ended");
      return value;
    } finally {
      clearTimeout(timer);
    }
  }
}

async function* marked(microvm: Microvm, mark: string): AsyncGenerator<string> {
  let text = "";
  for await (const chunk of microvm.console ?? []) {
    const lines = `${text}${chunk}`.split(/\r?\n/);
    text = lines.pop() ?? "";
    for (const line of lines) if (line.startsWith(mark)) yield line.slice(mark.length).trim();
  }
}
