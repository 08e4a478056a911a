import { describe, expect, it } from "vitest";
import { readConfig, usage } from "./config.ts";
import { jailOptions } from "./jail-status.ts";

const paths = { FIRN_KERNEL: "/k", FIRN_RUNTIMES: "/r" };

describe("usage()", () => {
  it("describes every setting", () => {
    const text = usage();
    expect(text).toContain("--port, FIRN_PORT\n      TCP port; 0 takes a free one (default 8080)\n");
    expect(text).toContain("--jail-memory-mib, FIRN_JAIL_MEMORY_MIB\n");
    expect(text).not.toContain("undefined");
  });
});

describe("readConfig()", () => {
  it("takes flags before the environment before defaults", () => {
    const config = readConfig(["--port", "9000", "--guest-console=true"], {
      ...paths,
      FIRN_PORT: "9001",
      FIRN_MAX_INSTANCES: "3",
      FIRN_JAIL: "minimal",
      FIRN_JAIL_CPUS: "1.5",
    });
    expect(config).toMatchObject({
      port: 9000,
      maxInstances: 3,
      guestConsole: true,
      host: "127.0.0.1",
      kernel: "/k",
      jail: "minimal",
      jailCpus: 1.5,
    });
    expect(jailOptions(config)).toEqual({
      level: "minimal",
      ids: { first: 2_000_000_000, count: 65_536 },
      cgroupParent: undefined,
      memoryMaxBytes: undefined,
      cpusMax: 1.5,
    });
  });

  it.each([
    ["a missing kernel", [], { FIRN_RUNTIMES: "/r" }, "FIRN_KERNEL"],
    ["a port out of range", ["--port=99999"], paths, "--port"],
    ["a memory size that is no class", [], { ...paths, FIRN_PREPARE_MEMORY_MIB: "300" }, "128, 256"],
    ["a pool of less than nothing", [], { ...paths, FIRN_POOL_SIZE: "-1" }, "FIRN_POOL_SIZE"],
    ["a jail that does not exist", ["--jail=none"], paths, "--jail"],
    ["a cgroup that is no path", [], { ...paths, FIRN_JAIL_CGROUP: "firn" }, "FIRN_JAIL_CGROUP"],
    ["an unknown flag", ["--prot=1"], paths, "--prot"],
    ["an argument that is no flag", ["serve"], paths, "serve"],
  ])("names %s", (_, args, environment, name) => {
    expect(() => readConfig(args, environment)).toThrow(expect.objectContaining({ code: "FIRN_CONFIG" }));
    expect(() => readConfig(args, environment)).toThrow(name);
  });
});
