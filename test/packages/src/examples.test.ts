import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { repository } from "./packages.ts";
import { run } from "./run.ts";

// In the repository, for the packages that the examples import to be found.
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(import.meta.dirname, "..", ".examples-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Every document with examples: paths in the repository. */
async function documents(): Promise<string[]> {
  const places = ["packages", "apps"].map(async (place) =>
    (await readdir(join(repository, place))).map((name) => join(place, name, "README.md")),
  );
  const docs = (await readdir(join(repository, "docs"))).map((name) => join("docs", name));
  return ["README.md", ...docs, ...(await Promise.all(places)).flat()];
}

it("every example in TypeScript, of README, docs and packages, has the types of today", async () => {
  const examples: string[] = [];
  for (const document of await documents()) {
    const text = await readFile(join(repository, document), "utf8");
    for (const { index, 1: code = "" } of text.matchAll(/^```ts\n(.*?)^```$/gms)) {
      const line = text.slice(0, index).split("\n").length;
      const file = `${document.replaceAll("/", "_")}.${line}.ts`;
      await writeFile(join(folder, file), `${code}\nexport {};\n`);
      examples.push(file);
    }
  }
  expect(examples.length).toBeGreaterThan(10);
  const compilerOptions = {
    ...{ target: "es2024", module: "nodenext", strict: true, exactOptionalPropertyTypes: true, noEmit: true },
    ...{ lib: ["es2024", "esnext.disposable"], types: ["node"], skipLibCheck: true },
  };
  const files = [...examples, "../examples/given.ts"];
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
  await run("tsc", ["-p", folder]);
});
