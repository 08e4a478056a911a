/** Versions of the interrupt controller. */
export type GicVersion = 2 | 3;
/** CPUs: one like that of a Raspberry Pi 5, or all that QEMU can emulate, with SVE and pointer authentication. */
export type RigCpu = "cortex-a76" | "max";
/** The size of the host kernel's pages. */
export type PageKiB = 4 | 16;

/** What a guest can tell one rig from another by. */
export interface RigProfile {
  gic: GicVersion;
  cpu: RigCpu;
  pageKiB: PageKiB;
}

const usual: RigProfile = { gic: 3, cpu: "cortex-a76", pageKiB: 4 };

// Rigs that their names describe.
const named: Readonly<Record<string, Partial<RigProfile>>> = {
  gic2: { gic: 2 },
  max: { cpu: "max" },
  "16k": { pageKiB: 16 },
};

/** What a rig of this name is, where nothing else is asked for. */
export function rigProfile(name: string, wanted: Partial<RigProfile> = {}): RigProfile {
  const { gic, cpu, pageKiB } = { ...usual, ...named[name] };
  return { gic: wanted.gic ?? gic, cpu: wanted.cpu ?? cpu, pageKiB: wanted.pageKiB ?? pageKiB };
}

/** What of a running rig is not as it is asked for, or undefined: `GICv2`. */
export function profileDifference(
  running: Partial<RigProfile>,
  wanted: Partial<RigProfile>,
): string | undefined {
  const own = { ...usual, ...running };
  if (wanted.gic !== undefined && wanted.gic !== own.gic) return `GICv${own.gic}`;
  if (wanted.cpu !== undefined && wanted.cpu !== own.cpu) return `the CPU ${own.cpu}`;
  if (wanted.pageKiB !== undefined && wanted.pageKiB !== own.pageKiB) return `pages of ${own.pageKiB} KiB`;
  return undefined;
}
