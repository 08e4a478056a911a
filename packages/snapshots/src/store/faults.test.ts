import { execFile, execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { publishExample } from "../../test/snapshots.ts";
import { Store } from "./store.ts";

const run = promisify(execFile);
const script = (name: string) => new URL(`../../test/${name}`, import.meta.url).pathname;
const NODE = [process.execPath, "--conditions=firn-source", "--disable-warning=ExperimentalWarning"];
/** One thread for files: the counts of an injection are a thread's own. */
const env = { ...process.env, UV_THREADPOOL_SIZE: "1" };

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-faults-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Whether a program can be run here, for those that a host may forbid. */
function works(...command: [string, ...string[]]): boolean {
  try {
    execFileSync(command[0], command.slice(1), { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Runs a program with one of its system calls failing at the given time. */
async function publishWithFault(memory: string, call: string, fault: string): Promise<string> {
  const inject = ["-f", "-qq", "-o", "/dev/null", "-e", `trace=${call}`, "-e", `inject=${call}:${fault}`];
  const [node = "", ...options] = NODE;
  const { stdout } = await run(
    "strace",
    [...inject, node, ...options, script("publish-one.ts"), root, memory],
    {
      env,
    },
  );
  return stdout.trim();
}

describe.skipIf(!works("strace", "true"))("Store on a disk that fails", () => {
  it.each([
    ["fsync", "error=EIO:when=1"],
    ["fsync", "error=EIO:when=3"],
    ["fsync", "error=EIO:when=4"],
    ["fsync", "error=EIO:when=9"],
    ["fsync", "error=EIO:when=11"],
    ["rename", "error=ENOSPC:when=1"],
    ["rename", "error=EIO:when=4"],
    ["rename", "error=EIO:when=5"],
    ["pwrite64", "error=ENOSPC:when=1+"],
  ])("opens again with all that was published, when %s fails with %s", async (call, fault) => {
    const first = await Store.open(root);
    const before = await publishExample(first, "before", undefined, undefined, { tag: "before" });
    first.close();
    const said = await publishWithFault("during", call, fault);
    expect(said).toMatch(/^(published sha256:|failed E)/);
    using store = await Store.open(root);
    expect(await readdir(join(root, "tmp"))).toEqual([]);
    const expected = [["before", before.digest]];
    if (said.startsWith("published")) expected.push(["during", said.slice("published ".length)]);
    const tags = [...store.tags()];
    // The fault may have come after the last step that counts.
    expect(tags.slice(0, expected.length)).toEqual(expected);
    for (const [, digest] of tags) await store.verify(digest);
    expect((await store.collectGarbage()).doubts).toEqual([]);
    for (const [, digest] of tags) await store.verify(digest);
    await store.verify((await publishExample(store, "after")).digest);
  });
});

const alone = process.getuid?.() === 0 ? ["unshare", "-m"] : ["unshare", "-rm"];

describe.skipIf(!works("unshare", ...alone.slice(1), "true"))("Store on a full disk", () => {
  it("refuses what is new, leaves nothing of it, and frees room when something is deleted", async () => {
    const disk = join(root, "disk");
    await mkdir(disk);
    const mountAndRun = 'mount -t tmpfs -o size=6m firn "$1" && shift && exec "$@"';
    const shell = [...alone.slice(1), "sh", "-c", mountAndRun, "sh", disk];
    const { stdout } = await run("unshare", [...shell, ...NODE, script("full-disk.ts"), disk], { env });
    expect(JSON.parse(stdout)).toMatchObject({
      published: "ENOSPC",
      leftovers: [],
      plainWrite: "ENOSPC",
      doubts: [],
      removed: 1,
      again: "published",
    });
    expect(JSON.parse(stdout).freedBytes).toBeGreaterThan(512 * 1024);
  });
});

describe("Store with another umask", () => {
  it.each(["000", "022", "777"])("keeps everything from other users with umask %s", async (mask) => {
    const store = join(root, "store");
    const command = `umask ${mask} && exec "$@"`;
    const { stdout } = await run(
      "sh",
      ["-c", command, "sh", ...NODE, script("publish-one.ts"), store, "memory"],
      {
        env,
      },
    );
    expect(stdout).toMatch(/^published/);
    const modes: Record<string, number> = {};
    for (const entry of await readdir(store, { recursive: true, withFileTypes: true })) {
      const { mode } = await stat(join(entry.parentPath, entry.name));
      modes[entry.name] = mode & 0o7777;
      expect([entry.name, mode & 0o077]).toEqual([entry.name, 0]);
    }
    expect((await stat(store)).mode & 0o7777).toBe(0o700);
    expect(modes).toMatchObject({
      blobs: 0o700,
      sha256: 0o700,
      tmp: 0o700,
      leases: 0o700,
      "index.json": 0o400,
    });
    using opened = await Store.open(store);
    const blobs = await opened.blobs.list();
    expect(blobs.map(({ digest }) => modes[digest.slice("sha256:".length)])).toEqual(blobs.map(() => 0o400));
  });
});
