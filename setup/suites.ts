import { kernelPath } from "../guest-images/images.ts";
import type { ArmHost } from "../test/rig/src/index.ts";
import { bindingSuite } from "./binding-suite.ts";
import { tail } from "./command.ts";
import { fuzzSuite } from "./fuzz.ts";
import type { SuiteResult } from "./results.ts";
import { armTarget } from "./rust.ts";
import { stockVariables } from "./steps/builds.ts";
import { openHost } from "./steps/prepare.ts";
import { cargoSuite, pythonSuite, vitestSuite } from "./suite.ts";

/** What must be there before a suite can run: installed tools alone, built packages, or images of guests and an ARM host as well. */
export type Need = "tools" | "packages" | "guests";

/** Tests that run and are counted together. */
export interface Suite {
  readonly title: string;
  readonly needs: Need;
  /** @param images Variables by which programs find the images of guests. */
  run(images: Readonly<Record<string, string>>): Promise<SuiteResult>;
}

// What does not depend on the machine is tested on this one; on an emulated one it takes ten times as long.
const fewCases = { PROPTEST_CASES: "16" };
const vmmTests = ["--package", "firn-vmm", "--target", armTarget];
const withoutExamples = ["--lib", "--bins", "--tests"];

/** Tests of `crates/vmm` for which the version of the interrupt controller matters. */
export const gicTests: readonly string[] = ["machine", "smp", "survival", "snapshot", "prepare"];
/** Tests of `crates/vmm` for which the CPU and the size of the host's pages matter. */
export const hostTests: readonly string[] = [...gicTests, "golden", "working_set"];

/** What `npm test` runs: on two slow cores it takes at most 45 minutes, whatever is built included. */
export const testSuites: Readonly<Record<string, Suite>> = {
  rust: onThisMachine("Rust on this machine", "tools", () => cargoSuite(["--workspace"])),
  node: onThisMachine("TypeScript on this machine", "packages", () =>
    vitestSuite(["--config", "setup/vitest.host.ts"]),
  ),
  python: onThisMachine("Python on this machine", "tools", () =>
    pythonSuite([
      "guest-images/runtimes/python3.11/tests",
      "guest-images/functions/hello-python",
      "guest-images/functions/lorem-python",
    ]),
  ),
  packages: onThisMachine("packages as they are published", "packages", () =>
    vitestSuite(["--root", "test/packages"]),
  ),
  fuzz: onThisMachine("fuzzing on this machine, shortly", "tools", () => fuzzSuite(5)),
  "arm-gic3": onRig("default", "firn-vmm on ARM, GICv3", (env) =>
    cargoSuite([...vmmTests, ...withoutExamples], { ...env, ...fewCases }),
  ),
  "arm-gic2": onRig("gic2", "firn-vmm on ARM, GICv2", (env) =>
    cargoSuite([...vmmTests, ...named(gicTests)], env),
  ),
  binding: onRig("default", "binding on ARM", async (env, host) =>
    bindingSuite(host, { ...env, ...stockVariables(await kernelPath("debian")) }),
  ),
  e2e: onRig("default", "end to end", (env) => vitestSuite(["--root", "test/e2e"], env)),
};

/** What `npm run soak` runs: hosts that few have, everything on ARM, and what takes long. */
export const soakSuites: Readonly<Record<string, Suite>> = {
  fuzz: onThisMachine("fuzzing on this machine", "tools", () => fuzzSuite(300)),
  "arm-workspace": onRig("default", "Rust on ARM, GICv3", (env) =>
    // The binding is a library that Node.js loads: packages/vmm tests it there.
    cargoSuite(["--workspace", "--exclude", "firn-vmm-napi", "--target", armTarget], env),
  ),
  "arm-gic2": onRig("gic2", "firn-vmm on ARM, GICv2", (env) => cargoSuite(vmmTests, env)),
  "arm-max": onRig("max", "firn-vmm on ARM, SVE and pointer authentication", (env) =>
    cargoSuite([...vmmTests, ...named(hostTests)], env),
  ),
  "arm-16k": onRig("16k", "firn-vmm on ARM, pages of 16 KiB", (env) =>
    cargoSuite([...vmmTests, ...named(hostTests)], env),
  ),
  e2e: onRig("default", "end to end, many times", (env) =>
    vitestSuite(["--root", "test/e2e"], { ...env, FIRN_SOAK: "1" }),
  ),
};

function onThisMachine(title: string, needs: Need, run: Suite["run"]): Suite {
  return { title, needs, run };
}

/** A suite that runs on an ARM host. Where one of its programs has crashed, that host's kernel says more than the program. */
function onRig(
  rig: string,
  title: string,
  run: (env: Record<string, string>, host: ArmHost) => Promise<SuiteResult>,
): Suite {
  return {
    title,
    needs: "guests",
    async run(images) {
      await using host = await openHost({ name: rig });
      const result = await run({ ...images, FIRN_RIG: rig }, host);
      if (result.failed > 0) {
        const log = await host.exec("dmesg", [], { timeoutMs: 60_000 });
        console.log(`The end of the ARM host's kernel log:\n${tail(log.stdout)}`);
      }
      return result;
    },
  };
}

function named(tests: readonly string[]): string[] {
  return tests.flatMap((test) => ["--test", test]);
}
