import { once } from "node:events";
import { createConnection } from "node:net";
import { createInterface } from "node:readline";
import { SetupError } from "../../../setup/errors.ts";

const deadlineMs = 10_000;

/** Sends one line to the human monitor of a running QEMU, and returns what it prints: nothing where all went well. */
export async function askMonitor(socket: string, command: string): Promise<string> {
  const signal = AbortSignal.timeout(deadlineMs);
  const connection = createConnection(socket);
  try {
    await once(connection, "connect", { signal });
    signal.addEventListener("abort", () => connection.destroy());
    const say = (message: object) => connection.write(`${JSON.stringify(message)}\n`);
    for await (const line of createInterface({ input: connection })) {
      const message = JSON.parse(line) as {
        QMP?: object;
        return?: unknown;
        error?: { desc: string };
        id?: string;
      };
      if (message.QMP !== undefined) {
        say({ execute: "qmp_capabilities" });
        say({ execute: "human-monitor-command", arguments: { "command-line": command }, id: "answer" });
      } else if (message.error !== undefined) {
        throw new SetupError("RIG_STOPPED", `QEMU does not accept \`${command}\`: ${message.error.desc}.`);
      } else if (message.id === "answer") {
        return String(message.return).trim();
      }
    }
    throw new SetupError("RIG_STOPPED", `QEMU did not answer \`${command}\` within ${deadlineMs / 1000} s.`);
  } finally {
    connection.destroy();
  }
}
