import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { bootMicrovm, type JailOptions, probeJail } from "../../src/index.ts";
import { exists } from "../support/processes.ts";
import { StandIn } from "./stand-in.ts";

const standIn = new StandIn();
afterAll(() => standIn.remove());

const boot = (jail?: JailOptions) =>
  bootMicrovm({ kernelPath: standIn.path, rootDiskPath: standIn.path, memoryBytes: 128 << 20, jail });

/** Says that its jail cannot be had, as firn-vmm does: the message of an error of code 12. */
const REFUSES = `echo $$ > "$here/pid"; printf '\\001\\002\\014\\024it cannot be had now' >&0; exec cat > /dev/null`;

describe("probeJail()", () => {
  it("resolves with what the process says, which is gone then", async () => {
    standIn.servePool();
    const { level, uid, gid, landlock, missing } = await probeJail();
    expect({ level, uid, gid, landlock }).toEqual({ level: "minimal", uid: 0, gid: 0, landlock: 0 });
    for (const sentence of missing) expect(sentence).toMatch(/^no (cgroup|pids limit): /);
  });

  it("rejects with FIRN_JAIL_UNAVAILABLE when the process cannot have it, which is gone then", async () => {
    standIn.behave(REFUSES);
    await expect(probeJail({ level: "root" })).rejects.toMatchObject({
      code: "FIRN_JAIL_UNAVAILABLE",
      message: "it cannot be had now",
    });
    expect(exists(Number(standIn.read("pid")))).toBe(false);
  });

  it("rejects with FIRN_PROTOCOL when a process says it twice", async () => {
    const jailed = String.raw`printf '\003\002\000\000\000\000\000\000' >&0`;
    standIn.behave(`${jailed}; ${jailed}; exec cat > /dev/null`);
    await expect(boot()).rejects.toMatchObject({ code: "FIRN_PROTOCOL" });
  });
});

describe("the jail of a start", () => {
  it("is told on the command line", async () => {
    standIn.behave('echo "$@" > "$here/arguments"; exit 1');
    await expect(boot({ level: "user-namespaces", ids: { first: 7000, count: 1 } })).rejects.toThrow();
    const ids = process.getuid?.() === 0 ? " --ids=7000:7000" : "";
    expect(
      standIn
        .read("arguments")
        .trim()
        .replace(/ --cgroup=\S+$/, ""),
    ).toBe(`--jail=user-namespaces${ids}`);
  });

  it("is FIRN_JAIL_UNAVAILABLE when the process cannot have it", async () => {
    standIn.behave(REFUSES);
    await expect(boot({ level: "root" })).rejects.toMatchObject({ code: "FIRN_JAIL_UNAVAILABLE" });
  });

  it("is FIRN_JAIL_UNAVAILABLE, and nothing is started, when its cgroup or a limit cannot be had", async () => {
    standIn.behave('touch "$here/started"; exit 1');
    for (const jail of [
      { cgroupParent: "/no/such/cgroup" },
      { cgroupParent: standIn.folder, memoryMaxBytes: 1 << 30 },
    ]) {
      await expect(boot(jail)).rejects.toMatchObject({
        code: "FIRN_JAIL_UNAVAILABLE",
        message: expect.stringContaining(jail.cgroupParent),
      });
    }
    expect(existsSync(join(standIn.folder, "started"))).toBe(false);
  });

  it.each<[string, JailOptions]>([
    ["a level", { level: "none" as "minimal" }],
    ["ids.first", { ids: { first: 0, count: 1 } }],
    ["ids.count", { ids: { first: 4_294_967_294, count: 2 } }],
    ["pidsMax", { pidsMax: 0 }],
    ["memoryMaxBytes", { memoryMaxBytes: 1.5 }],
    ["cpusMax", { cpusMax: 0.001 }],
  ])("is FIRN_VMM_OPTIONS when %s is out of its range", async (_, jail) => {
    await expect(boot(jail)).rejects.toMatchObject({ code: "FIRN_VMM_OPTIONS" });
  });
});
