import { Socket } from "node:net";
import type { Duplex, Readable } from "node:stream";
import type { Started, VmmProcess } from "./binding.ts";
import { closeProcess } from "./close-process.ts";
import { parseDigest } from "./digest.ts";
import type { Doorbell, DoorbellEvent } from "./doorbell.ts";
import type { MicrovmExit } from "./exit.ts";
import type { JailReport } from "./jail.ts";
import type { ProcessEvents } from "./process-events.ts";
import type { SnapshotReport, Statistics, WorkingSetReport } from "./reports.ts";
import { request } from "./request.ts";
import { keepRunning } from "./running.ts";
import {
  CHECKSUM_TIMEOUT_MS,
  COMMAND_TIMEOUT_MS,
  DOORBELL_TIMEOUT_MS,
  SNAPSHOT_TIMEOUT_MS,
} from "./timeouts.ts";
import { requireWhole } from "./whole-number.ts";

/** What {@link Microvm.snapshot} takes. */
export interface SnapshotOptions {
  /** Where the memory layer is created; nothing may be there yet. */
  layerPath: string;
  /** Where the state file is created; nothing may be there yet. */
  statePath: string;
  /** `sha256:…` of the app image that the function was loaded from, which a restore must then bring. */
  appImageDigest?: string | undefined;
  /** Ends the wait and removes the files. The VMM finishes what it has begun before it takes another request. */
  signal?: AbortSignal | undefined;
}

/** What {@link Microvm.recordWorkingSet} takes. */
export interface WorkingSetOptions {
  /** Where the file is created; nothing may be there yet. */
  path: string;
  /** Working set of another clone of the same snapshot: then only what both have used is in the new one. */
  previousPath?: string | undefined;
}

/** What {@link Microvm.recordMisses} takes. */
export interface MissesOptions {
  /** Where the file is created; nothing may be there yet. */
  path: string;
  /** Makes the new file a working set: the one named here, and in it what this microVM and another clone of the same snapshot have both missed. */
  learn?: {
    /** The snapshot's working set. */
    workingSetPath: string;
    /** What `recordMisses` wrote for the other clone. */
    previousPath: string;
  };
}

/** What is known of a microVM when it starts. */
interface StartedMicrovm extends Started {
  jail: JailReport;
  pooled: boolean;
}

/**
 * A microVM in a process of its own. Made by `bootMicrovm` and `restoreMicrovm`.
 *
 * Close it, or declare it by `await using`: like a child process, it keeps Node running until it ends, and ends when Node does. All methods reject with a
 * `FirnVmmError`, FIRN_VMM_CLOSED, FIRN_VMM_STOPPED or FIRN_VMM_CRASHED when the microVM is gone.
 */
export class Microvm implements AsyncDisposable {
  /** Number of the VMM process. */
  readonly pid: number;
  /** The jail that its process is in. */
  readonly jail: JailReport;
  /** Whether its process had been prepared by a `MicrovmPool`. */
  readonly pooled: boolean;
  /** The agent stream. Ends when the microVM does; why is in {@link Microvm.exited}. */
  readonly stream: Duplex;
  /** Output of the serial console, if it was asked for. What is not read in time is lost, the oldest first. */
  readonly console: Readable | null;
  /** Resolves when the microVM is gone; never rejects. */
  readonly exited: Promise<MicrovmExit>;
  readonly #vmm: VmmProcess;
  readonly #doorbell: Doorbell;
  #closed: Promise<void> | undefined;

  /** @internal */
  constructor(vmm: VmmProcess, events: ProcessEvents, started: StartedMicrovm) {
    this.pid = started.pid;
    this.jail = started.jail;
    this.pooled = started.pooled;
    this.#vmm = vmm;
    this.#doorbell = events.doorbell;
    this.exited = events.exited;
    this.stream = vmm.takeStream((fd) => new Socket({ fd, readable: true, writable: true }));
    this.console = vmm.takeConsole((fd) => new Socket({ fd, readable: true, writable: false }));
    // A killed process resets its connections. That is told by `exited`, and must not become an uncaught exception.
    this.stream.on("error", () => {});
    this.console?.on("error", () => {});
    keepRunning(this, this.exited);
  }

  /**
   * The next ring of the doorbell, or one that came before and was not taken. The microVM stands still from then on, until it is
   * resumed.
   *
   * @param options.timeoutMs 120,000 by default.
   * @throws {FirnVmmError} FIRN_TIMEOUT, FIRN_ABORTED, FIRN_GUEST for an event that does not exist, or why the microVM is gone.
   */
  async waitForDoorbell(
    options: { signal?: AbortSignal | undefined; timeoutMs?: number | undefined } = {},
  ): Promise<DoorbellEvent> {
    const { signal, timeoutMs = DOORBELL_TIMEOUT_MS } = options;
    return this.#doorbell.next({ signal, timeoutMs });
  }

  /**
   * Writes what this microVM's memory adds to the layers it was started from, and its state. It must stand still, after a
   * doorbell or a pause, and stays so. The files are complete when this resolves; if it rejects they are not there.
   *
   * @throws {FirnVmmError} FIRN_IO, FIRN_SNAPSHOT_REFUSED, FIRN_TIMEOUT, FIRN_ABORTED, or why the microVM is gone.
   */
  async snapshot(options: SnapshotOptions): Promise<SnapshotReport> {
    const { layerPath, statePath, appImageDigest, signal } = options;
    const digest = appImageDigest === undefined ? {} : { appImageDigest: parseDigest(appImageDigest) };
    const limits = { signal, timeoutMs: SNAPSHOT_TIMEOUT_MS };
    const send = (id: number) => this.#vmm.snapshot(id, { layerPath, statePath, ...digest });
    return request(this.#vmm, "The snapshot", limits, send);
  }

  /**
   * Writes down which memory this microVM, which was restored from a snapshot, has written since, and read, if it was restored with
   * `recordReads`. It must stand still. The file is for `workingSetPath` of later restores of the same snapshot, and of a pool's base.
   *
   * @throws {FirnVmmError} FIRN_IO, FIRN_SNAPSHOT_REFUSED, FIRN_SNAPSHOT_CORRUPT for a working set of another snapshot, FIRN_TIMEOUT,
   * or why the microVM is gone.
   */
  async recordWorkingSet(options: WorkingSetOptions): Promise<WorkingSetReport> {
    const { path, previousPath } = options;
    const native = { path, ...(previousPath === undefined ? {} : { previousPath }) };
    return this.#command("Recording the working set", (id) => this.#vmm.recordWorkingSet(id, native));
  }

  /**
   * Writes down which memory this microVM, which was restored from a snapshot, has written since and that was not made private ahead of it:
   * what its working set did not name. The microVM runs on meanwhile, apart from the page faults of some microseconds. The file is for
   * `learn` of another clone of the same snapshot.
   *
   * @throws {FirnVmmError} As {@link Microvm.recordWorkingSet}.
   */
  async recordMisses(options: MissesOptions): Promise<WorkingSetReport> {
    const { path, learn } = options;
    return this.#command("Recording what the working set missed", (id) =>
      this.#vmm.recordMisses(id, { path, ...learn }),
    );
  }

  /**
   * Lets the microVM run again after a doorbell, a snapshot or a pause, with a new generation.
   *
   * @param options.initialBytes Written to the agent stream before the guest runs: a resume record, and what shall follow it.
   */
  async resume(options: { initialBytes?: Uint8Array | undefined } = {}): Promise<void> {
    if (options.initialBytes !== undefined) this.stream.write(options.initialBytes);
    await this.#command("Resuming the microVM", (id) => this.#vmm.resume(id));
  }

  /** Stops the vCPUs; the guest's monotonic clock stands still. */
  async pause(): Promise<void> {
    await this.#command("Pausing the microVM", (id) => this.#vmm.pause(id));
  }

  /**
   * Asks the guest to give back so many bytes of its memory, and not more: 0 lets it have all. It does so as far and as fast as it can, and
   * takes memory back rather than run out of it; `balloonBytes` of the statistics says how far it is. It holds for clones of snapshots that
   * are taken from now on.
   *
   * @param bytes A multiple of 4096, at most the guest's memory.
   * @throws {FirnVmmError} FIRN_CONFIG if the microVM has no balloon or it cannot have this size, or why the microVM is gone.
   */
  async setBalloonBytes(bytes: number): Promise<void> {
    requireWhole("the size of the balloon", bytes, 0);
    await this.#command("Setting the balloon", (id) => this.#vmm.setBalloonBytes(id, bytes));
  }

  /** Counters since the process started, or since its restore if a pool had prepared it. */
  async statistics(): Promise<Statistics> {
    return this.#command("Reading the statistics", (id) => this.#vmm.statistics(id));
  }

  /** A checksum of all guest memory of a microVM that stands still, 16 hexadecimal digits. Slow; for tests. */
  async memoryChecksum(): Promise<string> {
    const send = (id: number) => this.#vmm.memoryChecksum(id);
    return request(this.#vmm, "The memory checksum", { timeoutMs: CHECKSUM_TIMEOUT_MS }, send);
  }

  /**
   * Kills the process and resolves when it is gone. May be called any number of times, at any time.
   *
   * @throws {FirnVmmError} FIRN_TIMEOUT if it is not gone after ten seconds.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** The same as {@link Microvm.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    try {
      await closeProcess(this.#vmm);
      await this.exited;
    } finally {
      this.stream.destroy();
      this.console?.destroy();
    }
  }

  #command<T>(what: string, send: (id: number) => Promise<T>): Promise<T> {
    return request(this.#vmm, what, { timeoutMs: COMMAND_TIMEOUT_MS }, send);
  }
}
