import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";
import { expect, it } from "vitest";
import config from "../rolldown.config.ts";

it("the bundle is one file that needs nothing but the SDK", async () => {
  const folder = await mkdtemp(join(tmpdir(), "firn-thumbnail-"));
  try {
    const cwd = fileURLToPath(new URL("..", import.meta.url));
    const bundle = await rolldown({ ...config, plugins: [], cwd } as Parameters<typeof rolldown>[0]);
    const { output } = await bundle.write({
      file: join(folder, "index.mjs"),
      format: "esm",
      codeSplitting: false,
    });
    const chunk = output[0];
    expect(output).toHaveLength(1);
    const foreign = [...chunk.imports, ...chunk.dynamicImports].filter(
      (name) => !isBuiltin(name) && name !== chunk.fileName,
    );
    expect(foreign).toEqual(["@firn/guest"]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

function isBuiltin(name: string): boolean {
  return process.getBuiltinModule(name) !== undefined;
}
