import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AGENT_ABI } from "@firn/protocol";
import { deviceSet } from "../src/bases/device-set.ts";
import { hostFingerprint } from "../src/bases/host-fingerprint.ts";
import { type Runtime, readRuntime } from "../src/bases/runtime.ts";
import { type Digest, digestOf } from "../src/store/digest.ts";
import type { SnapshotConfig } from "../src/store/manifest.ts";
import type { Store } from "../src/store/store.ts";

/** The digest of a text. */
export function digestOfText(text: string): Digest {
  return digestOf(new TextEncoder().encode(text));
}

/** A config that is the same every time. */
export function exampleConfig(change: Partial<SnapshotConfig> = {}): SnapshotConfig {
  return {
    configVersion: 1,
    kind: "base",
    architecture: "arm64",
    memoryBytes: 256 * 1024 * 1024,
    vcpus: 1,
    runtime: "node 24.9.0",
    devices: ["app", "root"],
    agent: { abi: 1, version: "0.1.0" },
    kernel: digestOfText("kernel"),
    rootDisk: digestOfText("root disk"),
    parent: null,
    appImage: null,
    host: { kernel: "6.12.0" },
    ...change,
  };
}

/** Publishes a snapshot with given bytes. */
export async function publishExample(
  store: Store,
  memory: string,
  config: SnapshotConfig = exampleConfig(),
  app?: { mediaType: string; digest: Digest; size: number },
  options: { tag?: string } = {},
) {
  const memoryPath = store.temporaryPath("memory");
  const statePath = store.temporaryPath("state");
  await writeFile(memoryPath, memory);
  await writeFile(statePath, `state of ${memory}`);
  const report = { dataBytes: 4096, microseconds: 12 };
  return store.publish({ config, memoryPath, statePath, app, report }, options);
}

/** A runtime in a folder, from which nothing can be booted. */
export async function writeRuntime(folder: string, name: string, more: object = {}): Promise<Runtime> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "rootfs.erofs"), "root disk");
  await writeFile(join(folder, "scratch.ext4"), "scratch disk");
  const manifest = { manifestVersion: 1, name, version: "24.9.0", agentAbi: AGENT_ABI, ...more };
  await writeFile(join(folder, "runtime.json"), JSON.stringify(manifest));
  return readRuntime(folder);
}

/** The config of a snapshot that can be started on this machine, of a runtime of {@link writeRuntime}. */
export async function currentConfig(
  runtime: Runtime,
  change: Partial<SnapshotConfig> = {},
): Promise<SnapshotConfig> {
  return exampleConfig({
    agent: { abi: AGENT_ABI, version: "0.1.0" },
    host: await hostFingerprint(),
    devices: await deviceSet(runtime.scratchPath),
    ...change,
  });
}
