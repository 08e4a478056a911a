import { spawn } from "node:child_process";
import { existsSync, openSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { run } from "../../../setup/command.ts";
import { modes, packCpio } from "../../../setup/cpio.ts";
import { SetupError } from "../../../setup/errors.ts";
import { withLock } from "../../../setup/lock.ts";
import { identify, type ProcessIdentity } from "../../../setup/processes.ts";
import { consoleTail, waitForConsole } from "./console.ts";
import { ensureDataDisk } from "./data-disk.ts";
import { stopRig } from "./down.ts";
import { ensureForward } from "./forwards.ts";
import { buildRigImage } from "./image.ts";
import { type Forward, freePort } from "./ports.ts";
import { profileDifference, type RigProfile, rigProfile } from "./profile.ts";
import { emulator, machineArguments, shareTag } from "./qemu.ts";
import { chooseShares, type Share } from "./shares.ts";
import { controlSocket, ensureKey, openMaster, sshHost, writeSshConfig } from "./ssh.ts";
import { type RigFiles, type RigState, readRunning, rigFiles, writeState } from "./state.ts";

/** Which rig, and how it is made if it is not up yet. */
export interface RigOptions extends Partial<RigProfile> {
  name?: string;
  memoryMiB?: number;
  forwards?: readonly Forward[];
  /** Keep /var/lib/firn from one start to the next, on a disk of its own. */
  keepData?: boolean;
}

/** A rig that is up. */
export interface RunningRig {
  files: RigFiles;
  state: RigState;
  /** True when this call started it. */
  started: boolean;
}

const bootDeadlineMs = 180_000;
const socketDeadlineMs = 20_000;
const lockDeadlineMs = 45 * 60_000;

/** The name of a rig that nobody named. */
export const defaultName = "default";

/** Brings a rig up, with its image where that is missing; returns at once when it is up already. */
export async function startRig(options: RigOptions = {}): Promise<RunningRig> {
  const name = options.name ?? defaultName;
  if (!/^[a-z0-9][a-z0-9-]{0,30}$/.test(name)) {
    const message = `"${name}" cannot name a rig. Use up to 31 small letters, digits and dashes.`;
    throw new SetupError("RIG_BAD_ARGUMENT", message);
  }
  const files = rigFiles(name);
  await mkdir(files.directory, { recursive: true });
  return withLock(files.lock, lockDeadlineMs, async () => {
    const running = await readRunning(files);
    if (running === undefined) {
      await stopRig(files);
      return { files, state: await boot(files, name, options), started: true };
    }
    const difference = profileDifference(running, options);
    if (difference !== undefined) {
      const message = `The rig ${name} is up with ${difference}. Run \`npm run rig -- down --name ${name}\` first.`;
      throw new SetupError("RIG_CHANGED", message);
    }
    for (const forward of options.forwards ?? []) await ensureForward(files, running, forward);
    return { files, state: running, started: false };
  });
}

async function boot(files: RigFiles, name: string, options: RigOptions): Promise<RigState> {
  const profile = rigProfile(name, options);
  const image = await buildRigImage(profile.pageKiB);
  const shares = chooseShares();
  const sockets = await mkdtemp(join(tmpdir(), "firn-rig-"));
  const helpers: ProcessIdentity[] = [];
  const note = async (pid: number | undefined) => {
    const identity = pid === undefined ? undefined : await identify(pid);
    if (identity !== undefined) helpers.push(identity);
  };
  const forwards = await chooseForwards(options.forwards ?? []);
  const state: RigState = {
    format: 1,
    name,
    ...profile,
    memoryMiB: options.memoryMiB ?? 4096,
    shares: shares.map(({ path }) => path),
    ...(options.keepData === true ? { data: await ensureDataDisk(files.data) } : {}),
    sockets,
    qemu: { pid: 0, startTime: "" },
    helpers,
    sshPort: await freePort(),
    forwards: Object.fromEntries(forwards.map(([host, guest]) => [String(guest), host])),
  };
  for (const file of [files.console, files.log]) await writeFile(file, "");
  try {
    const ownArchive = await describeRig(files, name, shares);
    await writeFile(files.initrd, Buffer.concat([await readFile(image.initrd), ownArchive]));
    const args = machineArguments({
      ...state,
      kernel: image.kernel,
      initrd: files.initrd,
      root: image.root,
      console: files.console,
      monitor: join(sockets, "monitor"),
      shares,
      forwards: [[state.sshPort, 22], ...forwards],
    });
    state.qemu = await startEmulator(args, files);
    await writeState(files, state);
    await waitForConsole(files, state, "firn-rig: ready", bootDeadlineMs);
    await writeSshConfig(files, state);
    await note(await openMaster(files));
    await waitForSocket(controlSocket(state), files);
    await writeState(files, state);
    // The clock that the machine was started with has whole seconds.
    await run("ssh", ["-F", files.sshConfig, sshHost, `/usr/bin/date -s @${(Date.now() / 1000).toFixed(3)}`]);
    return state;
  } catch (cause) {
    await writeState(files, state);
    await stopRig(files);
    throw cause;
  }
}

async function startEmulator(args: string[], files: RigFiles): Promise<ProcessIdentity> {
  const log = openSync(files.log, "a");
  // The unnamed file that takes the writes of the rig's disk lies where the cache is, not in memory.
  const child = spawn(emulator, args, {
    detached: true,
    stdio: ["ignore", log, log],
    env: { ...process.env, TMPDIR: files.directory },
  });
  const failed = new Promise<never>((_, reject) => {
    child.on("error", (cause) => {
      const message = `${emulator} did not start. Run \`npm run up\`, which installs it.`;
      reject(new SetupError("RIG_NOT_STARTED", message, { cause }));
    });
  });
  child.unref();
  const identity = await Promise.race([failed, sleep(50).then(() => identify(child.pid ?? 0))]);
  if (identity !== undefined) return identity;
  throw new SetupError("RIG_NOT_STARTED", `${emulator} ended at once.\n${await consoleTail(files)}`);
}

async function chooseForwards(wanted: readonly Forward[]): Promise<Forward[]> {
  return Promise.all(
    wanted.map(async ([host, guest]) => [host === 0 ? await freePort() : host, guest] as const),
  );
}

async function describeRig(files: RigFiles, name: string, shares: readonly Share[]): Promise<Buffer> {
  const lines = shares.map(
    ({ path, writable }, index) => `${shareTag(index)} ${writable ? "rw" : "ro"} ${path}\n`,
  );
  return packCpio([
    { path: "rig", mode: modes.directory },
    { path: "rig/name", mode: modes.file, data: `firn-rig-${name}\n` },
    { path: "rig/shares", mode: modes.file, data: lines.join("") },
    { path: "rig/authorized_keys", mode: modes.file, data: await ensureKey(files) },
  ]);
}

async function waitForSocket(socket: string, files: RigFiles): Promise<void> {
  const deadline = Date.now() + socketDeadlineMs;
  while (!existsSync(socket)) {
    if (Date.now() > deadline) {
      const message = `Nobody listened on ${socket} within ${socketDeadlineMs / 1000} s.\n${await consoleTail(files)}`;
      throw new SetupError("DEADLINE_PASSED", message);
    }
    await sleep(20);
  }
}

/** Removes what a rig that is down left on disk. */
export async function forgetRig(name: string): Promise<void> {
  await rm(rigFiles(name).directory, { recursive: true, force: true });
}
