import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import {
  createMicrovmPool,
  FirnVmmError,
  type MicrovmPool,
  type PoolBase,
  type PoolOptions,
  type RestoreOptions,
} from "../../src/index.ts";
import { exists, isRunning, kill, until } from "../support/processes.ts";
import { prepared, REPORTED_BYTES, StandIn } from "./stand-in.ts";

const standIn = new StandIn();
const pools: MicrovmPool[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
});
afterAll(() => standIn.remove());

const layer = (byte: string) => ({ path: standIn.path, digest: `sha256:${byte.repeat(32)}` });
const baseOf = (byte: string): PoolBase => ({ layers: [layer(byte)], statePath: standIn.path });
const A = baseOf("aa");
const B = baseOf("bb");

function openPool(options: PoolOptions = {}): MicrovmPool {
  const pool = createMicrovmPool({ bases: [A], memoryPressurePath: "/no/such/file", ...options });
  pools.push(pool);
  return pool;
}

/** A restore of a diff on top of a base. */
function diffOf(base: PoolBase, options: Partial<RestoreOptions> = {}): RestoreOptions {
  const layers = [...base.layers, layer("dd")];
  return { layers, statePath: standIn.path, rootDiskPath: standIn.path, leaf: true, ...options };
}

async function failure(promise: Promise<unknown>): Promise<FirnVmmError> {
  const error = await promise.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(FirnVmmError);
  return error as FirnVmmError;
}

describe("MicrovmPool.restore()", () => {
  it("takes a process that waits, each once, and another one is prepared", async () => {
    standIn.servePool();
    const pool = openPool();
    await pool.filled();
    expect(pool.statistics()).toMatchObject({ waiting: 2, wanted: 2, privateBytes: 2 * REPORTED_BYTES });
    const waiting = standIn.at("waiting");
    const pids: number[] = [];
    for (let start = 0; start < 4; start += 1) {
      await using microvm = await pool.restore(diffOf(A));
      expect(microvm.pooled).toBe(true);
      pids.push(microvm.pid);
      await pool.filled();
    }
    expect(pids.slice(0, 2)).toEqual(waiting);
    expect(new Set(pids).size).toBe(4);
    expect(pool.statistics()).toMatchObject({ hits: 4, misses: 0, prepared: 6, waiting: 2, heldBack: null });
  });

  it("starts a process when none waits", async () => {
    standIn.servePool();
    const pool = openPool({ size: 0 });
    await using microvm = await pool.restore(diffOf(A));
    expect(microvm.pooled).toBe(false);
    expect(standIn.at("preparing")).toEqual([]);
    expect(pool.statistics()).toMatchObject({ hits: 0, misses: 1, prepared: 0, wanted: 0 });
  });

  it("takes a process in the jail that is wanted, and no other", async () => {
    standIn.servePool();
    const limited = { ...A, jail: { level: "minimal", ids: { first: 7000, count: 100 } } } as const;
    const pool = openPool({ bases: [A, limited], size: 1 });
    await pool.filled();
    expect(pool.statistics()).toMatchObject({ waiting: 2, wanted: 2 });
    await using first = await pool.restore(diffOf(A, { jail: limited.jail }));
    await using other = await pool.restore(diffOf(A, { jail: { level: "minimal" } }));
    expect([first.pooled, other.pooled]).toEqual([true, false]);
    expect(first.jail.level).toBe("minimal");
    await pool.filled();
    await pool.remove(limited);
    expect(pool.statistics()).toMatchObject({ waiting: 1, wanted: 1 });
  });

  it("leaves those that wait for another base, or cannot record reads", async () => {
    standIn.servePool();
    const pool = openPool({ size: 1 });
    await pool.filled();
    await using other = await pool.restore(diffOf(B));
    await using recording = await pool.restore(diffOf(A, { recordReads: true }));
    expect([other.pooled, recording.pooled]).toEqual([false, false]);
    expect(pool.statistics()).toMatchObject({ hits: 0, misses: 2, waiting: 1 });
  });

  it("takes a process of the base that has most of its layers", async () => {
    standIn.servePool();
    const upper: PoolBase = { layers: [...A.layers, layer("cc")], statePath: standIn.path };
    const pool = openPool({ bases: [A, upper], size: 1 });
    await pool.filled();
    await using microvm = await pool.restore(diffOf(upper));
    expect(microvm.pooled).toBe(true);
    const [lower] = pool.statistics().bases;
    expect(lower).toMatchObject({ layers: [layer("aa").digest], waiting: 1 });
  });

  it("never hands out a process that ended while it waited", async () => {
    standIn.servePool();
    const pool = openPool();
    await pool.filled();
    const [first, second] = standIn.at("waiting") as [number, number];
    expect(kill(first)).toBe(true);
    // The kernel, not this thread, must have heard of it.
    while (isRunning(first));
    await using microvm = await pool.restore(diffOf(A));
    expect([microvm.pooled, microvm.pid]).toEqual([true, second]);
    await until("it is replaced", () => pool.statistics().waiting === 2);
    expect(pool.statistics()).toMatchObject({ hits: 1, misses: 0, died: 1 });
    expect(exists(first)).toBe(false);
  });

  it("takes nothing when its signal has fired, and ends the process that it took when it fires", async () => {
    standIn.servePool({ whileRestoring: "exec cat > /dev/null" });
    const pool = openPool({ size: 1 });
    await pool.filled();
    expect((await failure(pool.restore(diffOf(A, { signal: AbortSignal.abort() })))).code).toBe(
      "FIRN_ABORTED",
    );
    expect(pool.statistics()).toMatchObject({ hits: 0, misses: 0, waiting: 1 });
    const controller = new AbortController();
    const restore = failure(pool.restore(diffOf(A, { signal: controller.signal })));
    await until("it was asked", () => standIn.at("restoring").length > 0);
    controller.abort();
    expect((await restore).code).toBe("FIRN_ABORTED");
    expect(standIn.at("restoring").filter(exists)).toEqual([]);
  });

  it("rejects for options that cannot be, and takes nothing", async () => {
    standIn.servePool();
    const pool = openPool({ size: 1 });
    await pool.filled();
    const layers = [...A.layers, { path: "x", digest: "none" }];
    expect((await failure(pool.restore(diffOf(A, { layers })))).code).toBe("FIRN_VMM_OPTIONS");
    expect(pool.statistics()).toMatchObject({ hits: 0, misses: 0, waiting: 1 });
  });
});

describe("the refill of a MicrovmPool", () => {
  it("waits for what the taker of a process says", async () => {
    standIn.servePool();
    const pool = openPool({ size: 1 });
    await pool.filled();
    const answered = Promise.withResolvers<void>();
    await using _microvm = await pool.restore(diffOf(A), { refillAfter: answered.promise });
    await pool.filled();
    expect(pool.statistics()).toMatchObject({ waiting: 0, prepared: 1 });
    answered.reject(new Error("no answer"));
    await expect.poll(() => pool.statistics()).toMatchObject({ waiting: 1, prepared: 2 });
  });

  it("prepares one process at a time", async () => {
    const whilePreparing = 'mkdir "$here/busy" || note overlap; sleep 0.05; rmdir "$here/busy"';
    standIn.servePool({ whilePreparing });
    const pool = openPool({ bases: [A, B], size: 3 });
    await pool.filled();
    expect(pool.statistics()).toMatchObject({ waiting: 6, prepared: 6 });
    expect(readdirSync(standIn.folder)).not.toContain("overlap");
  });

  it("waits after a failure, longer after each, and goes on when it works again", async () => {
    standIn.behave('echo "no room" >&2; exit 3');
    const errors: string[] = [];
    const pool = openPool({ size: 1, onFailure: ({ code }) => errors.push(code) });
    await pool.filled();
    expect(errors).toEqual(["FIRN_VMM_CRASHED"]);
    expect(pool.statistics()).toMatchObject({
      failures: 1,
      waiting: 0,
      heldBack: "failures",
      lastFailure: { code: "FIRN_VMM_CRASHED" },
    });
    const first = performance.now();
    await until("a second failure", () => errors.length === 2);
    const second = performance.now();
    await until("a third failure", () => errors.length === 3);
    expect(second - first).toBeGreaterThan(400);
    expect(performance.now() - second).toBeGreaterThan(900);
    standIn.servePool();
    await until("it works again", () => pool.statistics().waiting === 1);
    expect(pool.statistics().bases[0]?.failures).toBe(3);
    await using microvm = await pool.restore(diffOf(A));
    expect([microvm.pooled, pool.statistics().bases[0]?.failures]).toEqual([true, 0]);
  });

  it("keeps to the memory budget, and gives it to the base that was wanted last", async () => {
    standIn.servePool();
    const pool = openPool({ bases: [A, B], size: 2, memoryBudgetBytes: 2.5 * REPORTED_BYTES });
    await pool.filled();
    expect(pool.statistics()).toMatchObject({ waiting: 2, heldBack: "budget" });
    await (await pool.restore(diffOf(B))).close();
    await pool.filled();
    await (await pool.restore(diffOf(B))).close();
    await pool.filled();
    const { bases, evicted, waiting, privateBytes } = pool.statistics();
    expect([waiting, privateBytes]).toEqual([2, 2 * REPORTED_BYTES]);
    expect(bases.find(({ layers }) => layers[0] === layer("bb").digest)?.waiting).toBeGreaterThan(0);
    // What was ended to make room is gone, and what waits is all that is left.
    expect(evicted).toBeLessThanOrEqual(1);
    await until("only those that wait are left", () => standIn.at("waiting").filter(exists).length === 2);
  });

  it("prepares nothing when one process is more than the budget", async () => {
    standIn.servePool();
    const pool = openPool({ memoryBudgetBytes: 1000 });
    await pool.filled();
    // One is prepared to learn how much it needs.
    expect(pool.statistics()).toMatchObject({ waiting: 0, prepared: 1, evicted: 1, heldBack: "budget" });
    await (await pool.restore(diffOf(A))).close();
    await pool.filled();
    expect(pool.statistics()).toMatchObject({ misses: 1, prepared: 1 });
    expect(standIn.at("waiting").filter(exists)).toEqual([]);
  });

  it("tries a base again that failed, though another one does not fit into the budget", async () => {
    const large = `answer '${prepared(2 * REPORTED_BYTES)}'; exec cat > /dev/null`;
    const nth = (count: number) => `[ $(wc -l < "$here/preparing") = ${count} ]`;
    standIn.servePool({ whilePreparing: `${nth(1)} && { ${large}; }; ${nth(2)} && exit 3` });
    const pool = openPool({ bases: [A, B], size: 1, memoryBudgetBytes: 1.5 * REPORTED_BYTES });
    await pool.filled();
    expect(pool.statistics()).toMatchObject({ prepared: 1, evicted: 1, failures: 1, waiting: 0 });
    await until("the other one waits", () => pool.statistics().waiting === 1);
    expect(pool.statistics()).toMatchObject({ heldBack: "budget", bases: [{ waiting: 0 }, { waiting: 1 }] });
  });

  it("goes on after an onFailure that throws", async () => {
    standIn.behave("exit 3");
    let calls = 0;
    const onFailure = () => {
      calls += 1;
      throw new Error("of the caller");
    };
    const pool = openPool({ size: 1, onFailure });
    await pool.filled();
    expect([calls, pool.statistics().failures]).toEqual([1, 1]);
    standIn.servePool();
    await until("it is tried again", () => pool.statistics().waiting === 1);
  });

  it("waits while the host lacks memory", async () => {
    standIn.servePool();
    const path = join(standIn.folder, "pressure");
    const say = (percent: string) =>
      writeFileSync(path, `some avg10=${percent} avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 total=0\n`);
    say("10.01");
    const pool = openPool({ size: 1, memoryPressurePath: path });
    await pool.filled();
    expect(pool.statistics()).toMatchObject({ waiting: 0, heldBack: "pressure" });
    await using microvm = await pool.restore(diffOf(A));
    expect(microvm.pooled).toBe(false);
    expect(standIn.at("preparing")).toEqual([]);
    say("10.00");
    await until("there is memory again", () => pool.statistics().waiting === 1);
    expect(pool.statistics().memoryMeasure).toBe("pressure");
  });

  it("waits while less memory is available than is left of the budget, where the host tells no more", async () => {
    standIn.servePool();
    const pool = openPool({ memoryBudgetBytes: 2 ** 50 });
    await pool.filled();
    expect(pool.statistics()).toMatchObject({ waiting: 0, heldBack: "pressure", memoryMeasure: "available" });
    expect(standIn.at("preparing")).toEqual([]);
  });
});

describe("the end of a MicrovmPool", () => {
  it("close() ends all that wait, may be called twice, and leaves microVMs alone", async () => {
    standIn.servePool();
    const pool = openPool();
    await pool.filled();
    await using microvm = await pool.restore(diffOf(A));
    await pool.filled();
    await Promise.all([pool.close(), pool.close()]);
    await pool[Symbol.asyncDispose]();
    expect(standIn.at("waiting").filter(exists)).toEqual([microvm.pid]);
    expect((await failure(pool.restore(diffOf(A)))).code).toBe("FIRN_POOL_CLOSED");
    expect(() => pool.add(B)).toThrow(expect.objectContaining({ code: "FIRN_POOL_CLOSED" }));
    expect(pool.statistics()).toMatchObject({ waiting: 0, wanted: 0 });
  });

  it("close() ends a process that is being prepared", async () => {
    standIn.servePool({ whilePreparing: "exec cat > /dev/null" });
    const errors: unknown[] = [];
    const pool = openPool({ onFailure: (error) => errors.push(error) });
    await until("it is being prepared", () => standIn.at("preparing").length === 1);
    await pool.close();
    expect(standIn.at("preparing").filter(exists)).toEqual([]);
    expect(errors).toEqual([]);
  });

  it("remove() ends the processes of one base, the one in the making too, and adding it again works", async () => {
    standIn.servePool({ whilePreparing: "sleep 0.1" });
    const pool = openPool({ bases: [A, B] });
    await until("some wait", () => pool.statistics().waiting > 0);
    await pool.remove(A);
    await pool.filled();
    expect(pool.statistics()).toMatchObject({ waiting: 2, wanted: 2, bases: [{ waiting: 2 }] });
    await until("the others are gone", () => standIn.at("preparing").filter(exists).length === 2);
    await using microvm = await pool.restore(diffOf(A));
    expect(microvm.pooled).toBe(false);
    pool.add(A);
    pool.add(A);
    await pool.filled();
    expect(pool.statistics()).toMatchObject({ waiting: 4, wanted: 4, failures: 0 });
  });

  it("add() with another state for the same layers replaces what waits", async () => {
    standIn.servePool();
    const pool = openPool({ size: 1 });
    await pool.filled();
    const before = standIn.at("waiting");
    pool.add({ ...A, statePath: `${standIn.folder}/./program` });
    await pool.filled();
    expect(pool.statistics()).toMatchObject({ waiting: 1, wanted: 1, prepared: 2 });
    await until("the former is gone", () => before.filter(exists).length === 0);
  });

  it("add() with the first working sets of a base replaces what waits, with others does not", async () => {
    standIn.servePool();
    const pool = openPool({ size: 1 });
    await pool.filled();
    const before = standIn.at("waiting");
    pool.add({ ...A, workingSetPaths: [standIn.path] });
    await pool.filled();
    expect(pool.statistics()).toMatchObject({ waiting: 1, wanted: 1, prepared: 2 });
    await until("the former is gone", () => before.filter(exists).length === 0);
    pool.add({ ...A, workingSetPaths: [standIn.path, join(standIn.folder, "gone")] });
    await pool.filled();
    expect(pool.statistics()).toMatchObject({ waiting: 1, prepared: 2 });
    await using _microvm = await pool.restore(diffOf(A));
    await pool.filled();
    expect(pool.statistics()).toMatchObject({ waiting: 1, prepared: 3, failures: 0 });
  });

  it("leaves no process, descriptor or thread behind", async () => {
    standIn.servePool();
    const count = (folder: string) => readdirSync(`/proc/self/${folder}`).length;
    const before = { fd: count("fd"), task: count("task") };
    for (let round = 0; round < 10; round += 1) {
      await using pool = createMicrovmPool({ bases: [A, B], size: 3 });
      await (await pool.restore(diffOf(A))).close();
      if (round % 2 === 0) await pool.filled();
      await (await pool.restore(diffOf(B))).close();
    }
    expect(standIn.at("preparing").filter(exists)).toEqual([]);
    await until("all is given back", () => count("task") <= before.task && count("fd") <= before.fd);
  });
});

it("createMicrovmPool() refuses sizes that are none", () => {
  for (const options of [{ size: -1 }, { size: 1.5 }, { memoryBudgetBytes: Number.NaN }]) {
    expect(() => createMicrovmPool(options)).toThrow(expect.objectContaining({ code: "FIRN_VMM_OPTIONS" }));
  }
});
