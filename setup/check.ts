import { join } from "node:path";
import { wrongArrows } from "./arrows/arrows.ts";
import { run } from "./command.ts";
import { SetupError } from "./errors.ts";
import { fuzzCrate } from "./fuzz.ts";
import { repository } from "./machine.ts";
import { main } from "./main.ts";
import { step } from "./progress.ts";
import { armTarget, cargo } from "./rust.ts";
import { scriptEnvironment, turbo } from "./steps/builds.ts";
import { installSystemPackages } from "./steps/system-packages.ts";

const bin = join(repository, "node_modules", ".bin");

// Everything that is judged without running it. All of it is looked at, so that one run names all that is wrong.
await main(async () => {
  await step("system packages", installSystemPackages);
  const clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--keep-going"];
  const warnings = ["--", "--deny", "warnings"];
  const checks: [string, () => Promise<unknown>][] = [
    ["lint", () => tool("biome", ["check", "--error-on-warnings", "."])],
    ["Rust format", () => cargo(["fmt", "--all", "--check"])],
    ["arrows between modules", checkArrows],
    // A workspace of its own, which is built with --locked.
    [
      "lock file of the fuzz targets",
      () => cargo(["metadata", "--locked", "--format-version", "1"], { cwd: fuzzCrate }),
    ],
    ["clippy", () => cargo([...clippy, ...warnings])],
    ["clippy for ARM", () => cargo([...clippy, "--target", armTarget, ...warnings])],
    ["types of setup and the rig", () => tool("tsc", ["--noEmit", "-p", "setup"])],
    ["types of the packages", () => turbo("typecheck")],
  ];
  let failed = 0;
  for (const [name, check] of checks) {
    await step(name, async () => void (await check())).catch((error: Error) => {
      failed += 1;
      console.error(error.message);
    });
  }
  if (failed > 0) console.error(`\n✗ ${failed} of ${checks.length} checks failed.`);
  return failed === 0 ? 0 : 1;
});

async function checkArrows(): Promise<void> {
  const wrong = wrongArrows();
  if (wrong.length > 0) throw new SetupError("CHECK_FAILED", wrong.join("\n"));
}

async function tool(name: string, args: readonly string[]): Promise<void> {
  await run(join(bin, name), args, { cwd: repository, env: scriptEnvironment() });
}
