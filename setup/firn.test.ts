import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "./command.ts";
import { repository } from "./machine.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "firn-command-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** As a shell does it in `folder`, for which the repository is somewhere else. */
function firn(line: string, env: Record<string, string> = {}) {
  const npm = `npm --prefix ${repository} ${line}`;
  return run("sh", ["-c", npm], { cwd: folder, env, allowFailure: true });
}

describe("npm run firn", () => {
  it("is the command that the README names", async () => {
    const readme = await readFile(join(repository, "README.md"), "utf8");
    expect(readme).toContain("npm run firn -- deploy ./my-function --name mine");
    expect(readme).not.toMatch(/npx firn\b/);
    const { status, stdout } = await firn("run --silent firn -- --help");
    expect({ status, stdout }).toMatchObject({ status: 0, stdout: expect.stringContaining("deploy") });
  }, 60_000);

  it("takes paths from where it is called", async () => {
    await mkdir(join(folder, "my-function"));
    await writeFile(join(folder, "my-function", "index.mjs"), "export const handler = () => 'hello';");
    const env = { FIRN_SERVER: "http://127.0.0.1:1" };
    const missing = await firn("run --silent firn -- deploy ./no-function --name mine", env);
    expect(missing).toMatchObject({ status: 2, stderr: expect.stringContaining("./no-function") });
    // It read the folder, and found nobody to send it to.
    const deploy = await firn("run --silent firn -- deploy ./my-function --name mine", env);
    expect(deploy).toMatchObject({ status: 3, stderr: expect.stringContaining("127.0.0.1:1") });
  }, 60_000);
});
