import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadModules } from "./kernel-modules.ts";

describe("loadModules()", () => {
  let root = "";
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "firn-modules-"));
    await mkdir(join(root, "drivers/net"), { recursive: true });
    const module = (depends: string) => Buffer.from(`ELF\0license=GPL\0depends=${depends}\0name=x\0`);
    await writeFile(join(root, "drivers/net/virtio_net.ko"), module("net-failover"));
    await writeFile(join(root, "drivers/net/net-failover.ko"), module("failover"));
    await writeFile(join(root, "drivers/failover.ko"), module(""));
  });
  afterEach(() => rm(root, { recursive: true }));

  it("puts what a module depends on before the module, once", async () => {
    const modules = await loadModules(root, ["virtio-net", "failover"]);
    expect(modules.map(({ name }) => name)).toEqual(["failover", "net_failover", "virtio_net"]);
  });

  it("throws MODULE_UNKNOWN when the package lacks one", async () => {
    await expect(loadModules(root, ["xfs"])).rejects.toMatchObject({ code: "MODULE_UNKNOWN" });
  });
});
