import type { Readable, Writable } from "node:stream";
import type { Forward } from "./ports.ts";
import type { RigProfile } from "./profile.ts";

/** How to run a command on the ARM host. */
export interface ExecOptions {
  /** This process's own directory if not said. */
  cwd?: string;
  /** Added to the host's own environment. */
  env?: Readonly<Record<string, string | undefined>>;
  input?: string | Uint8Array;
  /** Ends the command with everything that it started. */
  signal?: AbortSignal;
  /** Ten minutes if not said. */
  timeoutMs?: number;
}

/** What a command left behind. A command that fails resolves too: look at `status`. */
export interface ExecResult {
  status: number;
  stdout: string;
  stderr: string;
}

/** A command that runs on the ARM host. */
export interface ArmProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** The exit status; 255 when the host went away. */
  readonly exited: Promise<number>;
  /** Sends a signal to the command and everything that it started. */
  kill(signal?: "TERM" | "INT" | "KILL"): Promise<void>;
}

/** An ARM machine with KVM: this one, or the rig. */
export interface ArmHost extends AsyncDisposable {
  readonly kind: "native" | "rig";
  readonly name: string;
  /** Runs a command to its end. */
  exec(command: string, args?: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  /** Starts a command and lets it run. */
  spawn(
    command: string,
    args?: readonly string[],
    options?: Omit<ExecOptions, "input" | "timeoutMs">,
  ): ArmProcess;
  /** The port of this machine's loopback behind which a port of the ARM host's loopback or network is reached. */
  port(guestPort: number, wantedPort?: number): Promise<number>;
  /** Ends the rig if opening it started it, unless it was opened to be kept. */
  close(): Promise<void>;
}

/** Which ARM host is wanted. */
export interface ArmHostOptions extends Partial<RigProfile> {
  /** Rigs only, as the profile: which rig. */
  name?: string;
  /** Rigs only: how much memory it has. */
  memoryMiB?: number;
  /** Rigs only: ports to forward from the start. */
  forwards?: readonly Forward[];
  /** Rigs only: keep /var/lib/firn from one start to the next. */
  keepData?: boolean;
  /** Leave the rig up when it is closed. */
  keep?: boolean;
}
