import { describe, expect, it } from "vitest";
import { readConfig } from "./config.ts";

const paths = { FIRN_KERNEL: "/k", FIRN_ROOTFS: "/r" };

describe("readConfig()", () => {
  it("takes flags before the environment before defaults", () => {
    const config = readConfig(["--port", "9000", "--guest-console=true"], {
      ...paths,
      FIRN_PORT: "9001",
      FIRN_MAX_INSTANCES: "3",
    });
    expect(config).toMatchObject({
      port: 9000,
      maxInstances: 3,
      guestConsole: true,
      host: "127.0.0.1",
      kernel: "/k",
    });
  });

  it.each([
    ["a missing kernel", [], { FIRN_ROOTFS: "/r" }, "FIRN_KERNEL"],
    ["a port out of range", ["--port=99999"], paths, "--port"],
    ["a memory size that is no class", [], { ...paths, FIRN_PREPARE_MEMORY_MIB: "300" }, "128, 256"],
    ["an unknown flag", ["--prot=1"], paths, "--prot"],
    ["an argument that is no flag", ["serve"], paths, "serve"],
  ])("names %s", (_, args, environment, name) => {
    expect(() => readConfig(args, environment)).toThrow(expect.objectContaining({ code: "FIRN_CONFIG" }));
    expect(() => readConfig(args, environment)).toThrow(name);
  });
});
