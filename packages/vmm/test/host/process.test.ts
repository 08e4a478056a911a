import { execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadBinding, type VmmEvent } from "../../src/binding.ts";
import { bootMicrovm, FirnVmmError } from "../../src/index.ts";
import { nativeJail } from "../../src/native-jail.ts";
import { exists, isRunning, until } from "../support/processes.ts";
import { StandIn } from "./stand-in.ts";

const standIn = new StandIn();
afterAll(() => standIn.remove());

/** Reads the request and never answers it. */
const SILENT = `echo $$ > "$here/new"; mv "$here/new" "$here/pid"; exec cat`;

function boot(options: { signal?: AbortSignal; kernelPath?: string } = {}) {
  return bootMicrovm({
    kernelPath: standIn.path,
    rootDiskPath: standIn.path,
    memoryBytes: 128 << 20,
    ...options,
  });
}

async function failure(promise: Promise<unknown>): Promise<FirnVmmError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(FirnVmmError);
  return error as FirnVmmError;
}

async function startSilently() {
  standIn.behave(SILENT);
  const { binding, binaryPath } = loadBinding();
  const events: VmmEvent[] = [];
  const exited = Promise.withResolvers<VmmEvent>();
  const vmm = new binding.VmmProcess(binaryPath, nativeJail(), (event) => {
    events.push(event);
    if (event.kind === "exit") exited.resolve(event);
  });
  await until("the process started", () => existsSync(join(standIn.folder, "pid")));
  return { vmm, events, exited: exited.promise, pid: Number(standIn.read("pid")) };
}

describe("a process that ends at once", () => {
  it("bootMicrovm() rejects with its status and last words", async () => {
    standIn.behave('echo "first words" >&2; echo "last words" >&2; exit 3');
    const error = await failure(boot());
    expect(error.code).toBe("FIRN_VMM_CRASHED");
    expect(error.message).toMatch(
      /ended with exit status 3; the end of its standard error: first words\nlast words$/,
    );
  });

  it("bootMicrovm() keeps only the end of much standard error", async () => {
    standIn.behave('i=0; while [ $i -lt 2000 ]; do echo "line number $i" >&2; i=$((i+1)); done; exit 1');
    const { message } = await failure(boot());
    expect(message).toMatch(/line number 1999$/);
    expect(message.length).toBeLessThan(4500);
  });

  it("bootMicrovm() names the signal that ended it", async () => {
    standIn.behave("kill -9 $$");
    const { code, message } = await failure(boot());
    expect(code).toBe("FIRN_VMM_CRASHED");
    expect(message).toMatch(/ended by signal 9; it wrote nothing to standard error$/);
  });
});

describe("a process that cannot serve", () => {
  it("bootMicrovm() rejects with FIRN_PROTOCOL when it does not speak the protocol", async () => {
    standIn.behave("printf 'this is not a message' >&0; exec cat");
    const { code } = await failure(boot());
    expect(code).toBe("FIRN_PROTOCOL");
  });

  it("bootMicrovm() rejects with FIRN_VMM_SPAWN when it cannot be started", async () => {
    standIn.behave("");
    chmodSync(standIn.path, 0o644);
    const { code, message } = await failure(boot());
    expect(code).toBe("FIRN_VMM_SPAWN");
    expect(message).toContain(standIn.path);
  });

  it("bootMicrovm() rejects with FIRN_IO and leaves no process when the kernel is missing", async () => {
    standIn.behave(SILENT);
    const { code, message } = await failure(boot({ kernelPath: "/no/such/Image" }));
    expect(code).toBe("FIRN_IO");
    expect(message).toMatch(/^open the kernel \/no\/such\/Image: No such file/);
  });

  it("bootMicrovm() rejects with FIRN_VMM_OPTIONS when the kernel is a pipe that nobody writes to", async () => {
    standIn.behave(SILENT);
    const kernelPath = join(standIn.folder, "fifo");
    execFileSync("mkfifo", [kernelPath]);
    const { code, message } = await failure(boot({ kernelPath }));
    expect(code).toBe("FIRN_VMM_OPTIONS");
    expect(message).toMatch(/fifo: it is neither a regular file nor a block device/);
  });

  it("bootMicrovm() rejects with FIRN_VMM_OPTIONS for a memory size that is no whole number", async () => {
    const promise = bootMicrovm({ kernelPath: "a", rootDiskPath: "b", memoryBytes: 1.5 });
    expect((await failure(promise)).code).toBe("FIRN_VMM_OPTIONS");
  });
});

describe("the surroundings of a process", () => {
  it("are an empty environment, a socket and a pipe", async () => {
    standIn.behave('cat /proc/$$/environ > "$here/environ"; ls -l /proc/$$/fd > "$here/fd"; exit 0');
    await failure(boot());
    expect(standIn.read("environ")).toBe("");
    const ours = new Set(
      descriptorsOf(standIn.read("fd")).map(([fd, link]) => `${fd} ${link.replace(/\d+/, "N")}`),
    );
    expect(ours).toEqual(new Set(["0 socket:[N]", "1 /dev/null", "2 pipe:[N]"]));
  });
});

describe("a process that never answers", () => {
  it("bootMicrovm() rejects with FIRN_ABORTED at once and the process is gone", async () => {
    standIn.behave(SILENT);
    const controller = new AbortController();
    const promise = failure(boot({ signal: controller.signal }));
    await until("the process started", () => existsSync(join(standIn.folder, "pid")));
    const reason = new Error("not wanted any more");
    controller.abort(reason);
    const error = await promise;
    expect(error.code).toBe("FIRN_ABORTED");
    expect(error.cause).toBe(reason);
    await until("it is gone", () => !exists(Number(standIn.read("pid"))));
  });

  it("bootMicrovm() starts nothing when the signal has fired before", async () => {
    standIn.behave('touch "$here/started"');
    expect((await failure(boot({ signal: AbortSignal.abort() }))).code).toBe("FIRN_ABORTED");
    expect(existsSync(join(standIn.folder, "started"))).toBe(false);
  });

  it("close() is idempotent, settles what waits, and leaves no zombie", async () => {
    const { vmm, events, exited, pid } = await startSilently();
    const waiting = failureText(vmm.statistics(1));
    await Promise.all([vmm.close(), vmm.close()]);
    expect(exists(pid)).toBe(false);
    await vmm.close();
    expect(await waiting).toMatch(/^FIRN_VMM_CLOSED: /);
    expect(await failureText(vmm.pause(2))).toMatch(/^FIRN_VMM_CLOSED: /);
    expect(await exited).toMatchObject({ kind: "exit", reason: "closed", droppedEvents: 0 });
    expect(events).toHaveLength(1);
  });

  it("cancel() rejects one request and leaves the others", async () => {
    const { vmm } = await startSilently();
    const first = failureText(vmm.statistics(1));
    const second = failureText(vmm.pause(2));
    vmm.cancel(1, "FIRN_TIMEOUT", "too slow");
    expect(await first).toBe("FIRN_TIMEOUT: too slow");
    vmm.cancel(1, "FIRN_TIMEOUT", "once more");
    await vmm.close();
    expect(await second).toMatch(/^FIRN_VMM_CLOSED: /);
  });

  it("snapshot() removes its files when it is cancelled", async () => {
    const { vmm } = await startSilently();
    const [layerPath, statePath] = [join(standIn.folder, "layer"), join(standIn.folder, "state")];
    const snapshot = failureText(vmm.snapshot(1, { layerPath, statePath }));
    await until("the files exist", () => existsSync(statePath));
    vmm.cancel(1, "FIRN_ABORTED", "not wanted");
    expect(await snapshot).toBe("FIRN_ABORTED: not wanted");
    expect([existsSync(layerPath), existsSync(statePath)]).toEqual([false, false]);
    await vmm.close();
  });

  it("statistics() rejects when the process is killed, and the exit event says crashed", async () => {
    const { vmm, exited, pid } = await startSilently();
    const waiting = failureText(vmm.statistics(1));
    process.kill(pid, "SIGKILL");
    expect(await waiting).toMatch(/^FIRN_VMM_CRASHED: .* by signal 9/);
    expect(await exited).toMatchObject({ reason: "crashed" });
    await vmm.close();
  });

  it("does not outlive Node, however Node ends", async () => {
    standIn.behave(SILENT);
    const script = `
      import { bootMicrovm } from ${JSON.stringify(new URL("../../src/index.ts", import.meta.url).href)};
      const path = ${JSON.stringify(standIn.path)};
      await bootMicrovm({ kernelPath: path, rootDiskPath: path, memoryBytes: ${128 << 20} });`;
    const node = spawn(process.execPath, ["--input-type=module-typescript", "--eval", script], {
      stdio: "inherit",
    });
    await until("the process started", () => existsSync(join(standIn.folder, "pid")));
    const pid = Number(standIn.read("pid"));
    expect(isRunning(pid)).toBe(true);
    node.kill("SIGKILL");
    await until("it is gone", () => !isRunning(pid));
  });

  it("a hundred at a time leave no process, descriptor or thread behind", async () => {
    standIn.behave("exec cat");
    const count = (folder: string) => readdirSync(`/proc/self/${folder}`).length;
    const before = { fd: count("fd"), task: count("task") };
    const { binding, binaryPath } = loadBinding();
    const all = Array.from({ length: 100 }, () => new binding.VmmProcess(binaryPath, nativeJail(), () => {}));
    const waiting = all.map((vmm, index) => failureText(vmm.statistics(index)));
    await Promise.all(all.map((vmm) => vmm.close()));
    for (const text of await Promise.all(waiting)) expect(text).toMatch(/^FIRN_VMM_CLOSED: /);
    await until("threads ended", () => count("task") <= before.task && count("fd") <= before.fd);
  });
});

function failureText(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "no failure",
    (error: Error) => error.message,
  );
}

/** The lines of `ls -l /proc/PID/fd`, without what the shell itself opened and what the test process was started with. */
function descriptorsOf(listing: string): [number, string][] {
  const lines = [...listing.matchAll(/ (\d+) -> ([^\n]+)/g)].map(([, fd, link = ""]): [number, string] => [
    Number(fd),
    link,
  ]);
  const isOurs = ([fd, link]: [number, string]) => !link.startsWith(standIn.folder) && !isInheritable(fd);
  // The shell keeps its descriptor 1 under a number from 10 on while it is redirected.
  return lines
    .filter(isOurs)
    .map(([fd, link]) => (link === "/dev/null" && fd >= 10 ? [1, link] : [fd, link]));
}

/** Whether a descriptor of this process is above standard error and stays open in programs that it starts. */
function isInheritable(fd: number): boolean {
  if (fd <= 2 || !existsSync(`/proc/self/fdinfo/${fd}`)) return false;
  const [, flags = "0"] = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")) ?? [];
  return (Number.parseInt(flags, 8) & 0o2000000) === 0;
}
