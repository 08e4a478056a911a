import type { LoadFunction } from "@firn/protocol";
import type { Descriptor, Digest } from "@firn/snapshots";
import type { Sample } from "../deploy/sample.ts";
import { FunctionsError } from "../errors.ts";

/** Guest memory sizes in MiB: a base is made for each that is wanted. */
export const MEMORY_CLASSES_MIB = [128, 256, 512, 1024, 2048] as const;

/** What went wrong with a deploy. */
export interface DeployFailure {
  readonly code: string;
  readonly message: string;
  /** Stack of the function's error, if there is one. */
  readonly stack: string;
}

/** A deployed function: all that its snapshot can be made from again, and the snapshot. */
export interface FunctionRecord {
  readonly name: string;
  readonly app: Descriptor;
  readonly entry: string;
  /** Requests that stand for those the function gets, from its package.json. */
  readonly samples: readonly Sample[];
  readonly handler: string;
  readonly environment: Readonly<Record<string, string>>;
  /** As asked for; the guest has the next class of {@link MEMORY_CLASSES_MIB}. */
  readonly memoryMib: number;
  /** Milliseconds an invocation may take. */
  readonly timeoutMs: number;
  /** Milliseconds the function may take until it is ready. */
  readonly readyTimeoutMs: number;
  readonly state: "Pending" | "Active" | "Failed";
  /** Why the state is Failed, or why the last update of an active function failed. */
  readonly failure: DeployFailure | null;
  /** Manifest of the diff snapshot, once there is one. */
  readonly snapshot: Digest | null;
  /** Rises with every deploy: instances of an older one are not used any more. */
  readonly revision: number;
  /** ISO 8601. */
  readonly updated: string;
}

/** The guest memory in bytes for a function that asks for `memoryMib`. */
export function memoryClassBytes(memoryMib: number): number {
  const found = MEMORY_CLASSES_MIB.find((size) => size >= memoryMib);
  if (found === undefined || !(memoryMib > 0)) {
    throw new FunctionsError(
      "FIRN_INVALID_PARAMETER",
      `A function cannot have ${memoryMib} MiB of memory: 1 to ${MEMORY_CLASSES_MIB.at(-1)} are possible.`,
    );
  }
  return found * 1024 * 1024;
}

/** The message that loads a function into a runtime. */
export function loadMessage(record: FunctionRecord): LoadFunction {
  const { entry, handler, environment, readyTimeoutMs, name, memoryMib } = record;
  return { entry, handler, environment, readyTimeoutMs, functionName: name, memoryMib };
}
