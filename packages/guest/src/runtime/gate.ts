import { readSync } from "node:fs";
import { decodeRuntimeResume, FrameDecoder, type RuntimeResume } from "@firn/protocol";

/**
 * Blocks the thread until the agent opens the gate: from a snapshot's last preparations until a clone, or the source, has a
 * reseeded kernel and the right time. No timer, no callback, nothing of the function runs meanwhile.
 *
 * @param descriptor The gate, a blocking descriptor.
 * @returns Entropy of this resume alone, and variables to set.
 * @throws {Error} if the agent is gone or writes something else.
 */
export function waitAtGate(descriptor: number): RuntimeResume {
  const decoder = new FrameDecoder();
  const buffer = Buffer.alloc(256);
  for (;;) {
    const count = readAgainWhenInterrupted(descriptor, buffer);
    if (count === 0) throw new Error("The agent closed the gate.");
    const [message] = decoder.push(Uint8Array.from(buffer.subarray(0, count)));
    if (message !== undefined) return decodeRuntimeResume(message);
  }
}

function readAgainWhenInterrupted(descriptor: number, buffer: Buffer): number {
  for (;;) {
    try {
      return readSync(descriptor, buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EINTR") throw error;
    }
  }
}
