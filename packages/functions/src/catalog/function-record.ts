import type { LoadFunction, Warning } from "@firn/protocol";
import type { Descriptor, Digest } from "@firn/snapshots";
import type { AppSettings, ServerCommand } from "../archive/app-settings.ts";
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

/** What whoever deploys says about a function. */
export interface FunctionSettings {
  /** Name of the runtime. */
  readonly runtime: string;
  /** Module to import as it was asked for, without its extension perhaps; `null` leaves it to the app and the runtime. */
  readonly wantedEntry: string | null;
  /** Name of the export, with dots for one inside another. */
  readonly handler: string;
  readonly environment: Readonly<Record<string, string>>;
  /** As asked for; the guest has the next class of {@link MEMORY_CLASSES_MIB}. */
  readonly memoryMib: number;
  /** Milliseconds an invocation may take. */
  readonly timeoutMs: number;
  /** Milliseconds the function may take until it is ready. */
  readonly readyTimeoutMs: number;
  /** Whether the samples are answered before the snapshot, until they get no faster; `null` leaves it to the app. */
  readonly wantedWarm: boolean | null;
  /** How to start the HTTP server that the function is; `null` leaves it to the app. */
  readonly wantedServer: ServerCommand | null;
  /** What a front end wants to find again with the version; it means nothing here. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** All that a version's snapshot can be made from, again and again. It never changes. */
export interface VersionContents extends FunctionSettings, AppSettings {
  /** The archive as it was uploaded: digest and length in bytes. Of a folder, those of its image. */
  readonly code: { readonly digest: Digest; readonly size: number };
  /** The app image. */
  readonly app: Descriptor;
  /** The module that is imported: a path in the app image. */
  readonly entry: string;
}

/** A function with one of its versions. */
export interface FunctionRecord extends VersionContents {
  /** Never used again, also not for a function of the same name. */
  readonly id: number;
  readonly name: string;
  /** Rises with every deploy of this function and is never used again. */
  readonly version: number;
  /** Active once a version can serve; Failed if the first deploy failed. */
  readonly state: "Pending" | "Active" | "Failed";
  /** How the last deploy went. A function stays active with the version before while one is under way, and if it failed. */
  readonly update: "InProgress" | "Successful" | "Failed";
  /** Why the last deploy failed. */
  readonly failure: DeployFailure | null;
  /** Manifest of this version's diff snapshot for this host and agent, once there is one. */
  readonly snapshot: Digest | null;
  /** What clones of that snapshot share although they should not, with what to do. */
  readonly warnings: readonly Warning[];
  /** When the version was accepted, ISO 8601. */
  readonly updated: string;
}

/** Whether two records are of the same version of the same function: what serves one may serve the other. */
export function isSameVersion(
  one: Pick<FunctionRecord, "id" | "version">,
  other: Pick<FunctionRecord, "id" | "version"> | undefined,
): boolean {
  return one.id === other?.id && one.version === other.version;
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

/**
 * The message that loads a function into a runtime. What it carries is part of the snapshot, so it has no environment unless the
 * function asks for that, apart from what counts only when the code is loaded. The process of a server is started with all of it.
 *
 * @param loadEnvironment Names of such variables, by the runtime's manifest; `*` for all.
 */
export function loadMessage(record: FunctionRecord, loadEnvironment: readonly string[]): LoadFunction {
  const { entry, handler, readyTimeoutMs, name, memoryMib, server } = record;
  const variables = Object.entries(record.environment);
  const carriesAll = record.snapshotEnvironment || server !== null || loadEnvironment.includes("*");
  const carried = carriesAll
    ? variables
    : variables.filter(([variable]) => loadEnvironment.includes(variable));
  const environment = Object.fromEntries(carried);
  return { entry, handler, environment, readyTimeoutMs, functionName: name, memoryMib, ...server };
}
