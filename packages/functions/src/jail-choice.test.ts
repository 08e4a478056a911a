import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_DEADLINES } from "@firn/snapshots";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { writeRuntime } from "../../snapshots/test/snapshots.ts";
import { zipOf } from "../test/archives.ts";
import { FunctionHost } from "./function-host.ts";

let folder: string;
let program: string;
let root: string;
let host: FunctionHost;

/** Started in place of firn-vmm: notes which jail is wanted, does as the test says where that is the best, and else ends. */
const PROGRAM = `#!/bin/sh
echo "$1" >> "$0.wanted"
[ "$1" = --jail=auto ] && . "$0.auto"
exit 1
`;
/** Says that it is in a jail of the level user-namespaces, and stays until it is no longer wanted. */
const JAILED = String.raw`printf '\003\001\000\000\000\000\000\000' >&0; exec cat > /dev/null`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "firn-program-"));
  program = join(folder, "firn-vmm");
  await writeFile(program, PROGRAM, { mode: 0o755 });
  process.env.FIRN_VMM_BINARY = program;
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-jail-"));
  const kernelPath = join(root, "kernel");
  await writeFile(kernelPath, "kernel");
  const runtimes = [await writeRuntime(join(root, "node24"), "node24")];
  await writeFile(join(root, "app.zip"), zipOf([{ name: "index.js", contents: "" }]));
  await rm(`${program}.wanted`, { force: true });
  host = await FunctionHost.open(join(root, "store"), {
    kernelPath,
    runtimes,
    vcpus: 1,
    deadlines: DEFAULT_DEADLINES,
  });
});
afterEach(async () => {
  await host.close();
  await rm(root, { recursive: true, force: true });
});

/** A deploy that fails with its first microVM, if it comes so far. */
async function deploy() {
  const settings = { name: "hello", handler: "default", environment: {}, memoryMib: 256 };
  const limits = { timeoutMs: 3000, readyTimeoutMs: 10_000 };
  const { active } = await host.deploy({
    ...settings,
    ...limits,
    source: { archive: join(root, "app.zip") },
  });
  await expect(active).rejects.toThrow();
}

const whenBest = (script: string) => writeFile(`${program}.auto`, script);
const wanted = async () =>
  (await readFile(`${program}.wanted`, "utf8"))
    .trim()
    .split("\n")
    .map((argument) => argument.replace("--jail=", ""));

it("FunctionHost starts every microVM at the level that was the best when it was found out", async () => {
  await whenBest(JAILED);
  await deploy();
  await deploy();
  expect((await host.probeJail()).level).toBe("user-namespaces");
  expect(await wanted()).toEqual(["auto", "user-namespaces", "user-namespaces"]);
});

it("FunctionHost starts no microVM before the level could be found out", async () => {
  await whenBest("exit 1");
  await expect(host.probeJail()).rejects.toThrow();
  await deploy();
  await whenBest(JAILED);
  await deploy();
  expect(await wanted()).toEqual(["auto", "auto", "auto", "user-namespaces"]);
});
