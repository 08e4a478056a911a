import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cacheDirectory } from "../../../setup/cache.ts";
import { repository } from "../../../setup/machine.ts";
import { isAlive, type ProcessIdentity } from "../../../setup/processes.ts";
import type { GicVersion, PageKiB, RigCpu } from "./profile.ts";

/** What a running rig leaves on disk for those that use it or end it. */
export interface RigState {
  format: 1;
  name: string;
  gic: GicVersion;
  cpu: RigCpu;
  pageKiB: PageKiB;
  memoryMiB: number;
  /** Directories of the host that the rig sees at the same path. */
  shares: string[];
  /** The disk that keeps what is under /var/lib/firn from one start to the next. */
  data?: string;
  /** Sockets lie here: their paths must be short. */
  sockets: string;
  qemu: ProcessIdentity;
  /** Everything else that was started for it. */
  helpers: ProcessIdentity[];
  sshPort: number;
  /** Guest port to host port. */
  forwards: Record<string, number>;
}

/** The files of one rig of one checkout. */
export interface RigFiles {
  directory: string;
  state: string;
  lock: string;
  console: string;
  log: string;
  key: string;
  sshConfig: string;
  initrd: string;
  data: string;
}

/**
 * Where a rig keeps its files. A rig belongs to one checkout, which is mounted in it: two checkouts that share a cache have
 * two rigs of the same name. `setup/arm-runner` computes the same path.
 */
export function rigFiles(name: string, checkout: string = repository): RigFiles {
  const digest = createHash("sha256").update(checkout).digest("hex").slice(0, 8);
  const directory = join(cacheDirectory(), "rigs", `${name}-${digest}`);
  return {
    directory,
    state: join(directory, "state.json"),
    lock: join(directory, "lock"),
    console: join(directory, "console.log"),
    log: join(directory, "qemu.log"),
    key: join(directory, "id_ed25519"),
    sshConfig: join(directory, "ssh_config"),
    initrd: join(directory, "initrd"),
    data: join(directory, "data.ext4"),
  };
}

/** The state of a rig whose QEMU runs, or undefined. */
export async function readRunning(files: RigFiles): Promise<RigState | undefined> {
  const state = await readState(files);
  return state !== undefined && (await isAlive(state.qemu)) ? state : undefined;
}

/** The state that was written last, whether the rig still runs or not. */
export async function readState(files: RigFiles): Promise<RigState | undefined> {
  try {
    const state = JSON.parse(await readFile(files.state, "utf8")) as RigState;
    return state.format === 1 ? state : undefined;
  } catch {
    return undefined;
  }
}

/** Writes the state so that a reader sees the old or the new one, never half of it. */
export async function writeState(files: RigFiles, state: RigState): Promise<void> {
  await mkdir(files.directory, { recursive: true });
  const temporary = `${files.state}.${process.pid}`;
  await writeFile(temporary, `${JSON.stringify(state, null, 2)}\n`);
  await rename(temporary, files.state);
}
