import { withDeadline } from "../deadline.ts";
import { errorCode, FunctionFailedError, SnapshotError } from "../errors.ts";
import type { AgentConnection } from "./agent-connection.ts";
import { invokeMessage } from "./exchange.ts";
import type { InvokeRequest, InvokeResponse } from "./invocation.ts";

/** Clones number theirs from 1: what something that the source has left behind logs in a clone belongs to none of those. */
const FIRST_NUMBER = 0x8000_0000;

/** Calls a function in the microVM that is going to be snapshotted. One call at a time. */
export type SourceInvoke = (request: InvokeRequest) => Promise<InvokeResponse>;

/**
 * Makes calls of the function in a source.
 *
 * @returns A function that throws {@link FunctionFailedError} if the function's process has ended, and {@link SnapshotError}
 *   FIRN_INVOKE_TIMEOUT, FIRN_ABORTED and those of {@link AgentConnection.exchange}.
 */
export function sourceInvoker(
  agent: AgentConnection,
  { graceMs, signal }: { readonly graceMs: number; readonly signal?: AbortSignal | undefined },
): SourceInvoke {
  let number = FIRST_NUMBER;
  return async (request) => {
    const exchange = agent.exchange(number, request);
    const { timeoutMs } = request;
    try {
      agent.send(invokeMessage(number, request));
      number += 1;
      const deadline = { timeoutMs: timeoutMs + graceMs, signal };
      // A function may work on when it has answered, and must have come to rest before its snapshot.
      const rested = async () => {
        const response = await exchange.response;
        await exchange.ended;
        return response;
      };
      return await withDeadline("the function's answer", deadline, rested);
    } catch (error) {
      // It was not called, since it had ended before.
      if (error instanceof SnapshotError && error.cause instanceof FunctionFailedError) throw error.cause;
      if (errorCode(error) !== "FIRN_TIMEOUT") throw error;
      const text = `The function did not answer within ${timeoutMs} ms, and its microVM had to be stopped.`;
      throw new SnapshotError("FIRN_INVOKE_TIMEOUT", text, { cause: error });
    }
  };
}
