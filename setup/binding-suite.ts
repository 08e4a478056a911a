import { join } from "node:path";
import type { ArmHost } from "../test/rig/src/index.ts";
import { repository } from "./machine.ts";
import type { SuiteResult } from "./results.ts";
import { localCopies } from "./steps/local-copies.ts";
import { packSnapshots } from "./steps/pack.ts";
import { tapSuite } from "./suite.ts";

const tests = ["packages/vmm/test/kvm/*.test.ts", "packages/snapshots/test/kvm/*.test.ts"];
const timeoutMs = 30 * 60_000;

/** The tests of `packages/vmm` and `packages/snapshots` that need KVM, by Node.js's own test runner on the ARM host, with copies of all large files there. */
export async function bindingSuite(
  host: ArmHost,
  images: Readonly<Record<string, string>>,
): Promise<SuiteResult> {
  const binary = join(repository, "packages", "vmm", "npm", "linux-arm64-gnu", "bin", "firn-vmm");
  const { FIRN_RIG: _rig, ...paths } = images;
  const files = Object.entries({
    ...paths,
    FIRN_VMM_BINARY: binary,
    ...(await packSnapshots()),
  });
  const copies = await localCopies(
    host,
    files.map(([, path]) => path),
  );
  const env = Object.fromEntries(files.map(([name], index) => [name, copies[index] ?? ""]));
  const reporter = ["--test-timeout=600000", "--test-reporter=tap"];
  const args = ["--conditions=firn-source", "--test", ...reporter, ...tests];
  console.log(`node ${args.join(" ")}`);
  const { status, stdout, stderr } = await host.exec("node", args, { cwd: repository, env, timeoutMs });
  console.log(stdout + stderr);
  return tapSuite(status, stdout);
}
