import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";
import { expect, it } from "vitest";
import config from "../rolldown.config.ts";
import { RuntimeProcess } from "./runtime-process.ts";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));

// What goes into the image: a folder with two files, and no node_modules anywhere above.
it("the bundle runs from a folder of its own, with the addon beside it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "firn-runtime-"));
  try {
    const [runtimeConfig] = config as Parameters<typeof rolldown>[0][];
    const bundle = await rolldown({ ...runtimeConfig, cwd: PACKAGE });
    await bundle.write({ file: join(folder, "runtime.mjs"), format: "esm" });
    await copyFile(
      join(PACKAGE, `dist/addon/linux-${process.arch}/reseed.node`),
      join(folder, "reseed.node"),
    );
    await using runtime = await RuntimeProcess.start(
      {
        "index.mjs": `import { warmUp } from "@firn/guest"; import { randomUUID } from "node:crypto";
          let warm = 0; warmUp(() => { warm += 1 }); export default () => [warm, randomUUID().length]`,
      },
      { program: join(folder, "runtime.mjs"), addon: "" },
    );
    runtime.loadFunction({ entry: "index.mjs" });
    await runtime.next("functionReady");
    await runtime.quiesce();
    await runtime.resume();
    expect(await runtime.call()).toEqual([1, 36]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
