import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type BootOptions, bootMicrovm, type LayerReference, type Microvm } from "@firn/vmm";
import { AgentConversation } from "./agent-conversation.ts";

/** Images of the guest, named by the environment as `npm test` does. */
export const KERNEL: string = fromEnvironment("FIRN_GUEST_KERNEL");
export const ROOT_DISK: string = fromEnvironment("FIRN_GUEST_ROOTFS");
export const STOCK_KERNEL: string = fromEnvironment("FIRN_STOCK_KERNEL");
export const STOCK_INITRD: string = fromEnvironment("FIRN_STOCK_INITRD");

/** A file that the environment names. */
export function fromEnvironment(variable: string): string {
  const path = process.env[variable];
  if (path !== undefined && existsSync(path)) return path;
  throw new Error(
    `${variable} must name a file that exists, as \`npm test -- binding\` does. It is ${path}.`,
  );
}

/** A folder on a disk: memory layers are large, and /tmp may be memory. */
export function temporaryFolder(): Promise<string> {
  return mkdtemp("/var/tmp/firn-vmm-test-");
}

/** Boots the Node.js runtime image. */
export function bootGuest(options: Partial<BootOptions> = {}): Promise<Microvm> {
  return bootMicrovm({ kernelPath: KERNEL, rootDiskPath: ROOT_DISK, memoryBytes: 256 << 20, ...options });
}

/** A guest that stands at the doorbell with its runtime ready for a function. */
export async function bootToBase(options: Partial<BootOptions> = {}): Promise<[Microvm, AgentConversation]> {
  const microvm = await bootGuest(options);
  const agent = new AgentConversation(microvm.stream);
  try {
    await agent.expect("hello");
    await agent.expect("runtimeReady");
    await agent.prepareSnapshot(2);
    return [microvm, agent];
  } catch (error) {
    await microvm.close();
    throw error;
  }
}

/** Where a test keeps one snapshot. */
export interface SnapshotFiles {
  layerPath: string;
  statePath: string;
}

export function snapshotFiles(folder: string, name: string): SnapshotFiles {
  return { layerPath: join(folder, `${name}.layer`), statePath: join(folder, `${name}.state`) };
}

/** A layer file with its digest. */
export async function layerReference(path: string): Promise<LayerReference> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return { path, digest: `sha256:${hash.digest("hex")}` };
}
