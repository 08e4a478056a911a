import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { defaultRuntime } from "../images.ts";
import { manifestText } from "./rootfs.ts";
import { runtimeDefinitions } from "./runtimes.ts";

describe("runtimeDefinitions()", () => {
  it("has the default runtime, and each under the name of its folder", async () => {
    const names = (await runtimeDefinitions()).map(({ manifest }) => manifest.name);
    expect(names).toEqual(["java17", "node22", "node24", "provided", "python3.11"]);
    expect(names).toContain(defaultRuntime);
  });

  it("has those of another folder as well", async () => {
    const more = join(import.meta.dirname, "..", "..", "test", "e2e", "runtimes");
    const definitions = await runtimeDefinitions(more);
    expect(definitions.at(-1)?.manifest.name).toBe("ruby3.1");
    expect(definitions).toHaveLength((await runtimeDefinitions()).length + 1);
  });

  it("has manifests that say all, and no Lambda runtime twice", async () => {
    const manifests = (await runtimeDefinitions()).map(({ manifest }) => manifest);
    for (const manifest of manifests) {
      expect(JSON.parse(manifestText(manifest))).toEqual(manifest);
      expect(manifest.name).toMatch(/^[a-z0-9][a-z0-9.-]*$/);
      expect(manifest.version).toMatch(/^\d+(\.\d+)*$/);
      expect(manifest.command[0]).toMatch(/^\//);
      expect(manifest.agentAbi).toBe(2);
    }
    const lambda = manifests.flatMap(({ lambdaRuntimes }) => lambdaRuntimes);
    expect(new Set(lambda).size).toBe(lambda.length);
  });
});
