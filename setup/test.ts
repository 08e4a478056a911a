import { join } from "node:path";
import type { ArmHost } from "../test/rig/src/index.ts";
import { tail } from "./command.ts";
import { SetupError } from "./errors.ts";
import { fuzzSuite } from "./fuzz.ts";
import { hasUsableKvm, repository } from "./machine.ts";
import { main } from "./main.ts";
import { totalLine } from "./results.ts";
import { armTarget } from "./rust.ts";
import { localCopies } from "./steps/local-copies.ts";
import { packVmm } from "./steps/pack.ts";
import { openHost, prepareEverything } from "./steps/prepare.ts";
import { cargoSuite, type NamedResult, tapSuite, vitestSuite } from "./suite.ts";

// Programs for ARM are linked statically, and the binding is a library that Node.js loads: packages/vmm tests it there.
const onArm = ["--workspace", "--exclude", "firn-vmm-napi", "--target", armTarget];
// Where it matters which CPU and pages the host has.
const hostTests = ["golden", "smp", "survival", "snapshot", "prepare", "working_set"];
const bindingTests = "packages/vmm/test/kvm/*.test.ts";

const suites: Record<string, (images: Record<string, string>) => Promise<NamedResult>> = {
  rust: () => cargoSuite("Rust on this machine", ["--workspace"]),
  node: () => vitestSuite("TypeScript on this machine", ["--config", "setup/vitest.host.ts"]),
  packages: () => vitestSuite("packages as they are published", ["--root", "test/packages"]),
  fuzz: () => fuzzSuite("fuzzing on this machine"),
  "arm-gic3": (env) => onHost("default", () => cargoSuite("Rust on ARM, GICv3", onArm, env)),
  "arm-gic2": (env) => vmmSuite("gic2", "firn-vmm on ARM, GICv2", env),
  "arm-max": (env) => vmmSuite("max", "firn-vmm on ARM, SVE and pointer authentication", env, hostTests),
  "arm-16k": (env) => vmmSuite("16k", "firn-vmm on ARM, pages of 16 KiB", env, hostTests),
  binding: (env) => onHost("default", (host) => bindingSuite(host, env)),
  e2e: (env) => vitestSuite("end to end", ["--root", "test/e2e"], env),
};

// A machine is one ARM host: where tests run on this one, a second run would be the same again.
const wanted = (name: string) => !(hasUsableKvm() && name.startsWith("arm-"));

const onThisMachine = new Set(["rust", "node", "packages", "fuzz"]);

await main(async (argv) => {
  const unknown = argv.find((name) => suites[name] === undefined);
  if (unknown !== undefined) {
    const message = `"${unknown}" is no suite. Choose among ${Object.keys(suites).join(", ")}, or name none for all.`;
    throw new SetupError("RIG_BAD_ARGUMENT", message);
  }
  const images = await prepareEverything();
  const names = argv.length > 0 ? argv : Object.keys(suites).filter(wanted);
  const results: NamedResult[] = [];
  // The suites that open an ARM host find it up, and leave it so.
  const shared = names.every((name) => onThisMachine.has(name)) ? undefined : await openHost({});
  for (const name of names) {
    const result = await suites[name]?.(images).catch((error: Error) => {
      console.error(error);
      return { name, passed: 0, failed: 1, skipped: [] };
    });
    if (result !== undefined) results.push(result);
  }
  await shared?.close();
  console.log("");
  for (const { name, passed, failed, skipped } of results) {
    console.log(`${failed === 0 ? "✓" : "✗"} ${name}: ${totalLine([{ passed, failed, skipped }])}`);
    for (const test of skipped) console.log(`    skipped: ${test}`);
  }
  console.log(totalLine(results));
  return results.every(({ failed }) => failed === 0) ? 0 : 1;
});

/** @param tests Those alone; all if none are named. */
function vmmSuite(
  rig: string,
  name: string,
  env: Record<string, string>,
  tests: readonly string[] = [],
): Promise<NamedResult> {
  const firnVmm = [
    "--package",
    "firn-vmm",
    "--target",
    armTarget,
    ...tests.flatMap((test) => ["--test", test]),
  ];
  return onHost(rig, () => cargoSuite(name, firnVmm, { ...env, FIRN_RIG: rig }));
}

/** A suite that runs on an ARM host. Where one of its programs has crashed, that host's kernel says more than the program. */
async function onHost(name: string, suite: (host: ArmHost) => Promise<NamedResult>): Promise<NamedResult> {
  await using host = await openHost({ name });
  const result = await suite(host);
  if (result.failed > 0) {
    const log = await host.exec("dmesg", [], { timeoutMs: 60_000 });
    console.log(`The end of the ARM host's kernel log:\n${tail(log.stdout)}`);
  }
  return result;
}

async function bindingSuite(host: ArmHost, images: Record<string, string>): Promise<NamedResult> {
  const binary = join(repository, "packages", "vmm", "npm", "linux-arm64-gnu", "bin", "firn-vmm");
  const [tarball, platformTarball] = await packVmm();
  const files = Object.entries({
    ...images,
    FIRN_VMM_BINARY: binary,
    FIRN_VMM_TARBALL: tarball,
    FIRN_VMM_PLATFORM_TARBALL: platformTarball,
  });
  const copies = await localCopies(
    host,
    files.map(([, path]) => path),
  );
  const env = Object.fromEntries(files.map(([name], index) => [name, copies[index] ?? ""]));
  const name = "binding on ARM";
  const args = [
    "--conditions=firn-source",
    "--test",
    "--test-timeout=600000",
    "--test-reporter=tap",
    bindingTests,
  ];
  console.log(`\n▶ ${name}: node ${args.join(" ")}`);
  const timeoutMs = 30 * 60_000;
  const { status, stdout, stderr } = await host.exec("node", args, {
    cwd: repository,
    env,
    timeoutMs,
  });
  console.log(stdout + stderr);
  return tapSuite(name, status, stdout);
}
