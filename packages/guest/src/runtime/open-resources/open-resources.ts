import { ChildProcess } from "node:child_process";
import { syncBuiltinESMExports } from "node:module";
import { Socket } from "node:net";
import timers from "node:timers";
import { callerOutside } from "../uniqueness/caller.ts";
import { namePlaces, type Warning } from "../warning.ts";

/** How many resources of a kind are noted: to find who opened one takes a while. */
const NOTED = 200;

type Kind = "connection" | "timer" | "process";

interface Noted {
  readonly kind: Kind;
  /** File and line in the function. */
  readonly caller: string;
  /** What is to be said of it now; `undefined` if it is closed. */
  readonly describe: () => string | undefined;
}

type Note = (kind: Kind, describe: Noted["describe"]) => void;

/** Watches what the function opens before a snapshot, and may still have open in each clone: connections, timers, child processes. */
export class OpenResources {
  #noted: Noted[] = [];
  #watching = false;

  /** Puts the watch around what opens them, once and for all. */
  install(): void {
    const note: Note = (kind, describe) => this.#note(kind, describe);
    watchConnections(note);
    watchTimers(note);
    watchProcesses(note);
  }

  /** From here on is noted what is opened. */
  start(): void {
    this.#watching = true;
  }

  /** From here on nothing is noted, and what was is forgotten. */
  stop(): void {
    this.#watching = false;
    this.#noted = [];
  }

  /** What to say at deploy of that which is still open. */
  warnings(): Warning[] {
    const connections = this.#open("connection");
    const intervals = this.#open("timer");
    return [
      ...warning(
        "FIRN_CONNECTION_BEFORE_SNAPSHOT",
        connections,
        (named) =>
          `Connections are open at the snapshot, and will be broken in each clone: ${named}. ` +
          "Close them in beforeSnapshot() and open them in afterRestore().",
      ),
      ...warning(
        "FIRN_TIMER_BEFORE_SNAPSHOT",
        intervals,
        (named) =>
          `Timers run at the snapshot, and go on in each clone where they were: ${named}. ` +
          "Start in afterRestore() what must happen at a time, and clear what must not go on in beforeSnapshot().",
      ),
    ];
  }

  /** The child processes that still run, of which the agent tells by itself where there is one. */
  processWarnings(): Warning[] {
    return warning(
      "FIRN_CHILD_PROCESS",
      this.#open("process"),
      (named) =>
        `Child processes run at the snapshot, and are in each clone with the random generators that they had: ${named}. ` +
        "Start them in afterRestore().",
    );
  }

  #note(kind: Kind, describe: Noted["describe"]): void {
    if (!this.#watching) return;
    if (this.#noted.filter((noted) => noted.kind === kind).length >= NOTED) return;
    const caller = callerOutside();
    if (caller !== undefined) this.#noted.push({ kind, caller, describe });
  }

  /** Each as place and description; the same of one place only once. */
  #open(kind: Kind): string[] {
    const found = this.#noted.flatMap((noted) => {
      const described = noted.kind === kind ? noted.describe() : undefined;
      return described === undefined ? [] : [`${noted.caller} (${described})`];
    });
    return [...new Set(found)];
  }
}

function warning(code: string, open: readonly string[], message: (named: string) => string): Warning[] {
  if (open.length === 0) return [];
  return [{ code, message: message(namePlaces(open)) }];
}

function watchConnections(note: Note): void {
  const { connect } = Socket.prototype;
  // biome-ignore lint/suspicious/noExplicitAny: it has five forms.
  Socket.prototype.connect = function (this: Socket, ...args: any[]): Socket {
    const socket = new WeakRef(this);
    note("connection", () => peerOf(socket.deref()));
    return Reflect.apply(connect, this, args) as Socket;
  };
}

/** The other end of a connection to another machine; `undefined` if there is none any more. What is in the guest is in the snapshot, too. */
function peerOf(socket: Socket | undefined): string | undefined {
  if (socket === undefined || socket.destroyed) return undefined;
  const { remoteAddress, remotePort, connecting } = socket;
  if (connecting) return "connecting";
  if (remoteAddress === undefined || isLoopback(remoteAddress)) return undefined;
  return `${remoteAddress}:${remotePort}`;
}

function isLoopback(address: string): boolean {
  return address === "::1" || /^(::ffff:)?127\./.test(address);
}

type TimerName = "setTimeout" | "setInterval";

function watchTimers(note: Note): void {
  for (const name of ["setTimeout", "setInterval"] as const) {
    // A proxy has the other properties of what it stands for, as util.promisify's.
    const watched = new Proxy(timers[name], {
      apply(target, self, args: unknown[]) {
        const timer = Reflect.apply(target, self, args) as NodeJS.Timeout;
        const held = new WeakRef(timer);
        note("timer", () => delayOf(held.deref(), name, args[1]));
        return timer;
      },
    });
    Object.defineProperty(timers, name, { ...Object.getOwnPropertyDescriptor(timers, name), value: watched });
    Object.defineProperty(globalThis, name, {
      ...Object.getOwnPropertyDescriptor(globalThis, name),
      value: watched,
    });
  }
  syncBuiltinESMExports();
}

/** What a timer waits for that keeps the process alive; `undefined` if it does not, or has fired, or was cleared. */
function delayOf(timer: NodeJS.Timeout | undefined, name: TimerName, delay: unknown): string | undefined {
  // Node.js has no public word for it; without this one nothing is told.
  const isDone = (timer as { _destroyed?: boolean } | undefined)?._destroyed ?? true;
  if (timer === undefined || isDone || !timer.hasRef()) return undefined;
  return `${name}, ${Number(delay) || 1} ms`;
}

function watchProcesses(note: Note): void {
  const prototype = ChildProcess.prototype as unknown as { spawn: (...args: unknown[]) => unknown };
  const { spawn } = prototype;
  prototype.spawn = function (this: ChildProcess, ...args: unknown[]): unknown {
    const child = new WeakRef(this);
    note("process", () => commandOf(child.deref()));
    return Reflect.apply(spawn, this, args);
  };
}

/** The program of a child process that runs; `undefined` if it has ended. */
function commandOf(child: ChildProcess | undefined): string | undefined {
  if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return undefined;
  return `${child.spawnfile}, process ${child.pid}`;
}
