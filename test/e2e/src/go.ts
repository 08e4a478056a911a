import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { repository } from "./environment.ts";

const BUILD_TIMEOUT_MS = 10 * 60_000;

/** Go's compiler: that in the path, else where Go's own archive puts it. */
const program = ["go", "/usr/local/go/bin/go"].find(runs);

/** Why Go programs cannot be built here; `undefined` if they can. */
export const noGo: string | undefined =
  program === undefined ? "Go is not installed: install golang-go, or run `npm run up`" : undefined;

/** Builds the Go program in a folder below `functions/` for ARM. Modules come through Go's ordinary proxy. */
export async function buildGo(folder: string): Promise<Uint8Array> {
  const output = await mkdtemp(join(tmpdir(), "firn-go-"));
  try {
    const path = join(output, "bootstrap");
    const target = { CGO_ENABLED: "0", GOOS: "linux", GOARCH: "arm64" };
    const flags = ["-trimpath", "-tags", "lambda.norpc", "-ldflags=-s -w", "-o", path];
    await promisify(execFile)(program ?? "go", ["build", ...flags, "."], {
      cwd: join(repository, "test", "e2e", "functions", folder),
      env: { ...process.env, ...target, GOFLAGS: "-buildvcs=false" },
      timeout: BUILD_TIMEOUT_MS,
    });
    return await readFile(path);
  } finally {
    await rm(output, { recursive: true, force: true });
  }
}

function runs(name: string): boolean {
  if (name.startsWith("/") && !existsSync(name)) return false;
  try {
    execFileSync(name, ["version"], { stdio: "ignore", timeout: 60_000 });
    return true;
  } catch {
    return false;
  }
}
