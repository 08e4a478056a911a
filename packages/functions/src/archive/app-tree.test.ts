import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import { Readable } from "node:stream";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DEFAULT_APP_LIMITS } from "./app-errors.ts";
import { AppFolder, checkFolder } from "./app-folder.ts";
import { AppTree } from "./app-tree.ts";

let outer: string;
let root: string;
beforeEach(async () => {
  outer = await realpath(await mkdtemp(join(tmpdir(), "firn-tree-")));
  root = join(outer, "deep", "app");
  await mkdir(root, { recursive: true });
});
afterEach(() => rm(outer, { recursive: true, force: true }));

async function fill(links: Record<string, string>, files: string[] = []): Promise<void> {
  const folder = new AppFolder(root, DEFAULT_APP_LIMITS);
  for (const name of files) await folder.addFile(name, Readable.from([Buffer.from(`in ${name}`)]), false);
  for (const [name, target] of Object.entries(links)) folder.addLink(name, target);
  await folder.finish();
}

describe("AppFolder", () => {
  it.each<[string, Record<string, string>]>([
    ["a chain that leads out", { "d/b": "..", a: "d/b/../.." }],
    ["a chain that leads out at its second link", { a: "b", b: "c/up", "c/up": "../.." }],
    ["a chain to a device", { dev: "x/y/up/../../dev/zero", "x/y/up": "../.." }],
    ["a link out of what does not exist", { a: "nothing/../../x" }],
    ["a circle", { a: "b", b: "a" }],
    ["a link to itself", { a: "a" }],
    ["an absolute link", { a: "/dev/zero" }],
  ])("refuses %s", async (_, links) => {
    await expect(fill(links)).rejects.toMatchObject({
      code: "FIRN_APP_INVALID",
      message: expect.stringContaining("Replace it by a file."),
    });
  });

  it("makes nothing through a link that it has made", async () => {
    await expect(fill({ a: "b", "a/x": "y" }, ["b/y"])).rejects.toMatchObject({ code: "FIRN_APP_INVALID" });
    expect(await readdir(join(root, "b"))).toEqual(["y"]);
  });

  it("accepts links that stay inside, those to nothing included", async () => {
    await fill({ a: "lib/../lib/x", "lib/up": "..", b: "lib/up/lib/up/a", gone: "nowhere/at/all" }, [
      "lib/x",
    ]);
    expect(await new AppTree(root).readText("b", 100)).toBe("in lib/x");
  });
});

describe("checkFolder()", () => {
  it("refuses a pipe, also behind a link, without opening it", async () => {
    execFileSync("mkfifo", [join(root, "package.json")]);
    await expect(checkFolder(root, DEFAULT_APP_LIMITS)).rejects.toMatchObject({ code: "FIRN_APP_INVALID" });
    expect(await new AppTree(root).readText("package.json", 100)).toBeUndefined();
  });
});

describe("AppTree", () => {
  it("reads what is inside and nothing else", async () => {
    await writeFile(join(outer, "secret"), "secret");
    await writeFile(join(root, "inside"), "\ufeffinside");
    await symlink("../../secret", join(root, "out"));
    await symlink(join(outer, "secret"), join(root, "absolute"));
    await symlink("inside", join(root, "link"));
    await symlink("/dev/zero", join(root, "zero"));
    const tree = new AppTree(root);
    for (const name of ["inside", "./inside", "link"]) expect(await tree.readText(name, 100)).toBe("inside");
    for (const name of ["out", "absolute", "zero", "../../secret", "..", "", "inside/x", "x".repeat(300)]) {
      expect(await tree.readText(name, 100)).toBeUndefined();
    }
    await expect(tree.readText("inside", 5)).rejects.toMatchObject({ code: "FIRN_APP_INVALID" });
  });

  it("never follows links out of an app, whatever they are", async () => {
    const step = fc.constantFrom("a", "b", "c", "..", ".");
    const path = fc.array(step, { minLength: 1, maxLength: 6 }).map((steps) => steps.join("/"));
    const name = fc
      .array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 3 })
      .map((steps) => steps.join("/"));
    const links = fc.dictionary(name, path, { minKeys: 1, maxKeys: 6 });
    await fc.assert(
      fc.asyncProperty(
        links,
        fc.array(name, { maxLength: 3 }),
        fc.array(path, { maxLength: 5 }),
        async (links, files, paths) => {
          await rm(root, { recursive: true, force: true });
          await mkdir(root);
          const accepted = await fill(links, files).then(
            () => true,
            (error: { code?: string }) => {
              expect(error.code).toBe("FIRN_APP_INVALID");
              return false;
            },
          );
          // What an archive that was refused has left is read as safely as one that was accepted.
          const tree = new AppTree(root);
          for (const path of [...Object.keys(links), ...files, ...paths]) {
            const resolved = await tree.resolve(path);
            const real = await realpath(
              join(root, posix.normalize(path) === path ? path : `./${path}`),
            ).catch(() => undefined);
            if (resolved.kind === "file" || resolved.kind === "folder") {
              expect(await realpath(join(root, resolved.path))).toBe(
                join(root, resolved.path).replace(/\/$/, ""),
              );
            }
            if (accepted && Object.hasOwn(links, path) && real !== undefined) {
              expect(real === root || real.startsWith(`${root}/`)).toBe(true);
            }
          }
        },
      ),
      { numRuns: 100 },
    );
  }, 60_000);
});
