import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Store } from "@firn/snapshots";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ArchiveEntry, tarOf, zipOf } from "../../test/archives.ts";
import { entryPoints } from "../../test/entry-points.ts";
import { type AppImageOptions, createAppImage } from "./app-image.ts";

let root: string;
let store: Store;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firn-app-"));
  store = await Store.open(join(root, "store"));
});
afterEach(async () => {
  expect(await readdir(join(root, "store", "tmp"))).toEqual([]);
  await rm(root, { recursive: true, force: true });
});

async function image(bytes: Uint8Array, options: Partial<AppImageOptions> = {}) {
  const archive = join(root, "archive");
  await writeFile(archive, bytes);
  return createAppImage(store, { archive }, { entryPoints, ...options });
}

/** Lists an image with the tool that checks erofs. */
function filesIn(path: string): string {
  return execFileSync("dump.erofs", ["--ls", "--path=/", path], { encoding: "utf8" });
}

const app: ArchiveEntry[] = [
  { name: "index.js", contents: "export default () => new Response('hi')" },
  { name: "bin/tool", contents: "#!/bin/sh\n", executable: true },
  { name: "lib/shared.js", contents: "x".repeat(10_000) },
  { name: "current", link: "lib/shared.js" },
];

describe("createAppImage()", () => {
  it("makes the same image of the same files in a zip, a tar, a tar.gz and a folder", async () => {
    const folder = join(root, "folder");
    await mkdir(join(folder, "bin"), { recursive: true });
    await mkdir(join(folder, "lib"));
    for (const { name, contents, link, executable } of app) {
      if (link !== undefined) await symlink(link, join(folder, String(name)));
      else await writeFile(join(folder, String(name)), contents ?? "", { mode: executable ? 0o755 : 0o644 });
    }
    const images = [
      await image(zipOf(app)),
      await image(tarOf(app)),
      await image(gzipSync(tarOf([...app].reverse()))),
      await createAppImage(store, { directory: folder }, { entryPoints }),
    ];
    expect(new Set(images.map(({ blob }) => blob.digest)).size).toBe(1);
    expect(images[0]).toMatchObject({
      entry: "index.js",
      blob: { mediaType: "application/vnd.firn.app.v1.erofs" },
    });
    const listing = filesIn(store.blobs.pathOf(images[0]?.blob.digest ?? "sha256:"));
    for (const name of ["index.js", "bin", "lib", "current"]) expect(listing).toContain(name);
    expect((images[0]?.blob.size ?? 1) % 512).toBe(0);
  });

  it("takes package.json's main, and finds an entry without its extension", async () => {
    const files = [
      { name: "package.json", contents: '{"main":"./src/app.mjs"}' },
      { name: "src/app.mjs", contents: "" },
    ];
    expect((await image(zipOf(files))).entry).toBe("src/app.mjs");
    expect((await image(zipOf(files), { entry: "src/app" })).entry).toBe("src/app.mjs");
  });

  it.each<[string, ArchiveEntry[]]>([
    ["a path that leaves the app", [{ name: "../evil.js", contents: "" }]],
    ["an absolute path", [{ name: "/etc/evil.js", contents: "" }]],
    ["a link that leaves the app", [{ name: "index.js", link: "../../etc/passwd" }]],
    ["an absolute link", [{ name: "index.js", link: "/etc/passwd" }]],
    [
      "a file behind a link",
      [
        { name: "sub", link: "." },
        { name: "sub/index.js", contents: "" },
      ],
    ],
    [
      "a file twice",
      [
        { name: "index.js", contents: "1" },
        { name: "index.js", contents: "2" },
      ],
    ],
    ["no entry", [{ name: "other.txt", contents: "" }]],
  ])("refuses %s", async (_, entries) => {
    await expect(image(zipOf(entries))).rejects.toMatchObject({ code: "FIRN_APP_INVALID" });
    await expect(image(tarOf(entries))).rejects.toMatchObject({ code: "FIRN_APP_INVALID" });
    expect(await store.blobs.list()).toEqual([]);
  });

  it("copies what a tar calls a hard link, and refuses one to a file outside", async () => {
    const first = { name: "index.js", contents: "shared" };
    expect((await image(tarOf([first, { name: "b.js", hardLink: "index.js" }]))).entry).toBe("index.js");
    const outside = image(tarOf([first, { name: "b.js", hardLink: "../../store/oci-layout" }]));
    await expect(outside).rejects.toMatchObject({ code: "FIRN_APP_INVALID" });
  });

  it("refuses a name in a tar that is no UTF-8", async () => {
    await mkdir(join(root, "latin1"));
    const bytes = execFileSync("sh", [
      "-c",
      'cd "$1" && echo > index.js && echo > "$(printf "d\\351j\\340")" && tar -cf - .',
      "sh",
      join(root, "latin1"),
    ]);
    await expect(image(bytes)).rejects.toMatchObject({
      code: "FIRN_APP_INVALID",
      message: expect.stringContaining("UTF-8"),
    });
  });

  it("refuses a device", async () => {
    const entries = [
      { name: "index.js", contents: "" },
      { name: "null", device: true },
    ];
    await expect(image(tarOf(entries))).rejects.toMatchObject({
      code: "FIRN_APP_INVALID",
      message: expect.stringContaining("null"),
    });
  });

  it.each([
    ["nothing", Buffer.alloc(0)],
    ["random bytes", Buffer.from("this is no archive at all".repeat(100))],
    ["a zip that is cut off", zipOf(app).subarray(0, 200)],
    ["a tar that is cut off", tarOf(app).subarray(0, 700)],
    ["a gzip that is cut off", gzipSync(tarOf(app)).subarray(0, 60)],
  ])("refuses %s", async (_, bytes) => {
    await expect(image(bytes)).rejects.toMatchObject({ code: "FIRN_APP_INVALID" });
  });

  it("refuses more bytes or files than allowed, however well they are compressed", async () => {
    const contents = Buffer.alloc(4 * 1024 * 1024, randomBytes(4096));
    const bomb = gzipSync(tarOf([{ name: "index.js", contents }]));
    expect(bomb.length).toBeLessThan(100_000);
    const limits = { maxBytes: 1024 * 1024, maxEntries: 3 };
    await expect(image(bomb, { limits })).rejects.toMatchObject({ code: "FIRN_APP_TOO_LARGE" });
    await expect(image(zipOf(app), { limits })).rejects.toMatchObject({ code: "FIRN_APP_TOO_LARGE" });
  });

  it("refuses an entry outside the app", async () => {
    const wanted = image(zipOf(app), { entry: "../store/oci-layout" });
    await expect(wanted).rejects.toMatchObject({ code: "FIRN_APP_INVALID" });
  });

  it("refuses a folder that is not there", async () => {
    const wanted = createAppImage(store, { directory: join(root, "nowhere") }, { entryPoints });
    await expect(wanted).rejects.toMatchObject({ code: "FIRN_APP_INVALID" });
  });

  it.each([
    ["names a folder", { main: "./dist" }, "dist/index.js"],
    ["names a folder with a slash", { main: "dist/" }, "dist/index.js"],
    ["names a file without its extension", { main: "./dist/index" }, "dist/index.js"],
    ["is the folder itself", { main: "." }, "index.mjs"],
    ["is empty", { main: "" }, "index.mjs"],
    ["is no text", { main: 7 }, "index.mjs"],
  ])("finds the entry when main %s", async (_, packageJson, entry) => {
    const files = [
      { name: "package.json", contents: JSON.stringify(packageJson) },
      { name: "dist/index.js", contents: "" },
      { name: "index.mjs", contents: "" },
    ];
    expect((await image(zipOf(files))).entry).toBe(entry);
  });

  it("takes the names of modules from the runtime", async () => {
    const files = [
      { name: "lambda_function.py", contents: "" },
      { name: "package.json", contents: '{"main":"index.js"}' },
    ];
    const python = { default: "lambda_function", extensions: [".py"], packageFile: null };
    expect((await image(zipOf(files), { entryPoints: python })).entry).toBe("lambda_function.py");
  });

  it("leaves it to a runtime without a default to find its modules, and reads its settings", async () => {
    const files = [
      { name: "main.py", contents: "" },
      { name: "package.json", contents: '{"main":"index.js","firn":{"samples":[{"event":1}]}}' },
    ];
    const own = { default: null, extensions: [], packageFile: "package.json" };
    const options = { entryPoints: own, entry: "main" };
    expect(await image(zipOf(files), options)).toMatchObject({
      entry: "main",
      settings: { samples: [{ event: 1 }] },
    });
    expect((await image(zipOf(files), { entryPoints: own })).entry).toBe("");
  });

  it("ignores a byte order mark in package.json", async () => {
    const contents = '\ufeff{"main":"main.js","firn":{"samples":[{"event":1}]}}';
    const files = [
      { name: "package.json", contents },
      { name: "main.js", contents: "" },
    ];
    expect(await image(zipOf(files))).toMatchObject({
      entry: "main.js",
      settings: { samples: [{ event: 1 }] },
    });
  });

  it("says what is wrong with package.json", async () => {
    const files = (contents: string) => [
      { name: "package.json", contents },
      { name: "index.js", contents: "" },
    ];
    const refused = expect.objectContaining({
      code: "FIRN_APP_INVALID",
      message: expect.stringContaining("package.json"),
    });
    await expect(image(zipOf(files("{main:")))).rejects.toEqual(refused);
    await expect(image(zipOf(files(" ".repeat(2 * 1024 * 1024))))).rejects.toEqual(refused);
  });

  it("wants the programs that its runtime starts, and that they are executable", async () => {
    const files = (executable: boolean) => [{ name: "bootstrap", contents: "#!/bin/sh\n", executable }];
    const options = { entryPoints: null, programs: ["bootstrap"] };
    expect((await image(zipOf(files(true)), options)).entry).toBe("");
    const refused = (message: RegExp) => ({
      code: "FIRN_APP_INVALID",
      message: expect.stringMatching(message),
    });
    await expect(image(zipOf(files(false)), options)).rejects.toMatchObject(refused(/chmod \+x bootstrap/));
    await expect(image(zipOf(app), options)).rejects.toMatchObject(refused(/no file bootstrap.*index\.js/));
  });

  it("imports nothing of a server, and wants its program", async () => {
    const files = (program: string) => [
      { name: "package.json", contents: JSON.stringify({ firn: { command: [program] } }) },
      { name: "bin/server", contents: "#!/bin/sh\n", executable: true },
    ];
    expect(await image(zipOf(files("./bin/server")), { programs: ["bootstrap"] })).toMatchObject({
      entry: "",
      settings: { server: { command: ["./bin/server"], port: 8080 } },
    });
    expect((await image(zipOf(files("node")))).entry).toBe("");
    await expect(image(zipOf(files("./nothing")))).rejects.toMatchObject({
      message: expect.stringContaining("no file ./nothing"),
    });
  });

  it("names the one folder that is around everything", async () => {
    const files = [{ name: "my-function-main/" }, { name: "my-function-main/index.js", contents: "" }];
    for (const bytes of [zipOf(files), tarOf(files)]) {
      await expect(image(bytes)).rejects.toMatchObject({
        code: "FIRN_APP_INVALID",
        message: expect.stringMatching(/my-function-main.*index\.js/),
      });
    }
    expect((await image(zipOf(files), { entry: "my-function-main/index" })).entry).toBe(
      "my-function-main/index.js",
    );
  });

  it("makes the same image whatever the umask is", async () => {
    const before = process.umask(0o077);
    const strict = await image(zipOf(app)).finally(() => process.umask(before));
    expect(strict.blob.digest).toBe((await image(zipOf(app))).blob.digest);
  });
});
