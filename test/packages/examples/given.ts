// What the examples of the documents take for granted, because it stands in an example before or is the reader's own.
export {};

declare global {
  const host: import("@firn/functions").FunctionHost;
  const dependencies: import("@firn/invoke-server").Dependencies;
  const stream: import("node:stream").Duplex;
  const source: import("@firn/vmm").Microvm;
  const bootMicrovm: typeof import("@firn/vmm").bootMicrovm;
  const restoreMicrovm: typeof import("@firn/vmm").restoreMicrovm;
  const copyFile: typeof import("node:fs/promises").copyFile;
  const layers: import("@firn/vmm").LayerReference[];
  const layerPath: string;
  const statePath: string;
  const rootDiskPath: string;
  const digest: string;
  const diffDigest: string;
  const prepareSnapshot: Uint8Array;
  const resumeRecord: Uint8Array;
}
