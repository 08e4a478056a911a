import { spawn } from "node:child_process";
import { existsSync, openSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../../setup/command.ts";
import type { RigFiles, RigState } from "./state.ts";

/** The name under which the rig's ssh configuration knows it. */
export const sshHost = "rig";

/** Makes the key with which the host enters this rig, once, and returns its public half. */
export async function ensureKey(files: RigFiles): Promise<string> {
  if (!existsSync(files.key)) {
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "firn-rig", "-f", files.key]);
  }
  return readFile(`${files.key}.pub`, "utf8");
}

/** Writes the configuration with which every ssh client enters the rig, through one connection that stays open. */
export async function writeSshConfig(files: RigFiles, state: RigState): Promise<void> {
  const lines = [
    `Host ${sshHost}`,
    "HostName 127.0.0.1",
    `Port ${state.sshPort}`,
    "User root",
    `IdentityFile "${files.key}"`,
    "IdentitiesOnly yes",
    // The rig makes a host key at every boot, and the port is the loopback's.
    "StrictHostKeyChecking no",
    "UserKnownHostsFile /dev/null",
    "GlobalKnownHostsFile /dev/null",
    "LogLevel ERROR",
    "ConnectTimeout 30",
    `ControlPath "${controlSocket(state)}"`,
    "ControlMaster no",
  ];
  await writeFile(files.sshConfig, `${lines.join("\n")}\n`);
}

export function controlSocket(state: RigState): string {
  return join(state.sockets, "ssh");
}

/** Opens the connection that the other clients share. The process id is that of its master. */
export async function openMaster(files: RigFiles): Promise<number> {
  const log = openSync(files.log, "a");
  const child = spawn("ssh", ["-F", files.sshConfig, "-M", "-N", "-T", sshHost], {
    detached: true,
    stdio: ["ignore", log, log],
  });
  child.on("error", () => undefined);
  child.unref();
  return child.pid ?? 0;
}

/** Quotes a word for the rig's shell. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Most bytes of a command and its arguments: the rig's ssh server takes lines of 9,000 bytes, and there is more in each. */
const MAX_COMMAND_BYTES = 6000;

/** Whether a command cannot be in one line for the rig's ssh server, and must be sent as input of a shell. */
export function isTooLong(command: string): boolean {
  return Buffer.byteLength(command) > MAX_COMMAND_BYTES;
}

/** What a command in the rig is told about its surroundings. */
export interface RemoteCommand {
  command: string;
  args: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string | undefined>>;
  /** Notes the process group here, so that it can be ended from the host. */
  id: string;
}

const searchPath = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The line for the rig's shell that runs a command. */
export function remoteLine(remote: RemoteCommand): string {
  const env = Object.entries({ PATH: searchPath, ...remote.env })
    .filter((entry): entry is [string, string] => entry[1] !== undefined)
    .map(([name, value]) => quote(`${name}=${value}`));
  const directory = quote(remote.cwd);
  const missing = quote(
    `firn: the rig does not share ${remote.cwd}. Work in the repository, or set FIRN_RIG_SHARE.`,
  );
  return [
    `cd ${directory} 2>/dev/null || { echo ${missing} >&2; exit 125; }`,
    `echo $$ > /run/exec/${remote.id}`,
    // A group of its own, so that all of it can be ended at once.
    ["exec setsid env", ...env, quote(remote.command), ...remote.args.map(quote)].join(" "),
  ].join("; ");
}

/** The line that ends what {@link remoteLine} started, with everything that it started itself. */
export function killLine(id: string, signal: string): string {
  return `read -r pid < /run/exec/${id} && { kill -${signal} -- -$pid 2>/dev/null || kill -${signal} $pid; }`;
}
