import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { type Manifest, publishedPackages, readManifest, withDependencies } from "./packages.ts";
import { run } from "./run.ts";

const tarballs = inject("tarballs");
const folder = mkdtempSync(join(tmpdir(), "firn-packed-"));
const manifests: Record<string, Manifest> = {};

beforeAll(async () => {
  for (const [name, tarball] of Object.entries(tarballs)) {
    const unpacked = join(folder, "unpacked", name);
    await mkdir(unpacked, { recursive: true });
    await run("tar", ["-xzf", tarball, "-C", unpacked, "--strip-components=1"]);
    manifests[name] = readManifest(join(unpacked, "package.json"));
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// Each in a folder of its own: what one forgets to depend on must not be there because another has it.
describe.for(publishedPackages().map(({ manifest }) => manifest.name))("%s, packed", (name) => {
  const manifest = () => manifests[name] as Manifest;
  const unpacked = join(folder, "unpacked", name);

  it("runs nothing when it is installed, and has README and license", async () => {
    const scripts = Object.keys(manifest().scripts ?? {});
    expect(scripts.filter((script) => /^(pre|post)?install$|^prepare$/.test(script))).toEqual([]);
    const readme = await readFile(join(unpacked, "README.md"), "utf8");
    expect(readme).toContain(`# ${name}`);
    expect(manifest()).toMatchObject({ license: "Apache-2.0", description: expect.stringMatching(/\w/) });
  });

  it("depends on published packages alone", () => {
    const { dependencies, optionalDependencies } = manifest();
    for (const [other, version] of Object.entries({ ...dependencies, ...optionalDependencies })) {
      expect(version, other).toMatch(/^\^?\d/);
      if (other.startsWith("@firn/")) expect(manifests).toHaveProperty([other, "version"], version);
    }
  });

  it("is as publint and Are The Types Wrong want it", async () => {
    const tarball = tarballs[name] as string;
    await run("publint", ["--strict", tarball]);
    if (manifest().exports !== undefined) await run("attw", ["--profile", "esm-only", tarball]);
  });

  it("can be installed in an empty folder, imported with its types, and run", async () => {
    const home = join(folder, "installed", name);
    await mkdir(home, { recursive: true });
    const own = Object.fromEntries(
      withDependencies(name, manifests).map((one) => [one, `file:${tarballs[one]}`]),
    );
    const { [name]: wanted, ...others } = own;
    await writeFile(
      join(home, "package.json"),
      JSON.stringify({ private: true, type: "module", dependencies: { [name]: wanted }, overrides: others }),
    );
    // The package for another platform is left out here, as it is on a user's machine.
    const force = manifest().exports === undefined ? ["--force"] : [];
    await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", ...force], home);
    if (manifest().exports !== undefined) await importWithTypes(name, home);
    for (const program of Object.keys(manifest().bin ?? {})) {
      expect(await run(join(home, "node_modules", ".bin", program), ["--help"], home)).toMatch(/usage/i);
    }
  });
});

async function importWithTypes(name: string, home: string): Promise<void> {
  const program = `import * as everything from "${name}";\nconsole.log(Object.keys(everything).length > 0);\n`;
  await writeFile(join(home, "program.ts"), program);
  const types = join(import.meta.dirname, "..", "..", "..", "node_modules", "@types");
  const compilerOptions = {
    ...{ target: "es2024", module: "nodenext", strict: true, exactOptionalPropertyTypes: true, noEmit: true },
    ...{ types: ["node"], typeRoots: [types] },
  };
  await writeFile(join(home, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["program.ts"] }));
  await run("tsc", ["-p", home]);
  expect(await run(process.execPath, ["program.ts"], home)).toBe("true\n");
}
