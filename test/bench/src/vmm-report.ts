/** Times of the KVM floor, by number of vCPUs, in microseconds, in processes that do it for the first time. */
export interface Floor {
  vcpus: number;
  createUs: number;
  /** Setting those that a boot needs: three, on the first vCPU. */
  registersUs: number;
  /** Setting all others that a vCPU has, which a restore needs. */
  allRegistersUs: number;
  runUs: number;
  /** All but `allRegistersUs`. */
  bootUs: number;
  /** All. */
  restoreUs: number;
  /** The same in a process that has just done it, with all that can be cached in caches. */
  repeatedBootUs: number;
  repeatedRestoreUs: number;
}

/** A kind of restore. Of a prepared process the first phases are partly those of the preparation. */
export interface Restore {
  case: string;
  memoryMib: number;
  vcpus: number;
  layers: number;
  prepared: boolean;
  /** From sending the request to the response. */
  responseUs: number;
  /** To the report that the guest's first instructions have run. */
  doorbellUs: number;
  /** Until the guest has written to its 128 pages besides. */
  roundUs: number;
  /** Both, as multiples of what three layers as one took in the same round: the median of all rounds. */
  timesOneLayer: { doorbell: number; round: number };
  /** From the receipt of the request to the first KVM_RUN, as the VMM measures it. */
  firstRunUs: number;
  /** To the guest's first instruction, as the guest reads the time; some 40 µs too much on the emulated host, for its time begins before KVM_RUN. */
  firstInstructionUs: number;
  kvmExits: number;
  mmioExits: number;
  bytesCopied: number;
  bytesMapped: number;
  loadCalls: number;
  minorFaults: number;
  phasesUs: Record<string, number>;
}

/** System calls of a restore, from the receipt of the request to the first KVM_RUN of the guest. */
export interface Calls {
  case: string;
  memoryMib: number;
  vcpus: number;
  systemCalls: number;
  ioctls: number;
  byName: Record<string, number>;
  ioctlsByName: Record<string, number>;
}

/** A snapshot of a guest that has written 128 pages since the last, half of them with zeros every other time. */
export interface SnapshotCost {
  memoryMib: number;
  vcpus: number;
  layers: number;
  us: number;
  candidateBytes: number;
  dataBytes: number;
  extents: number;
  layerFileBytes: number;
  stateFileBytes: number;
}

/** Private bytes of processes: guest memory, and everything else. */
export interface Memory {
  preparedOwnBytes: number;
  preparedGuestBytes: number;
  cloneOwnBytes: number;
  cloneGuestBytes: number;
  cloneWrittenBytes: number;
  cloneCopiedBytes: number;
  clonePrivateBytes: number;
  overWrittenBytes: number;
}

/** Clones that are started at once; their memory when each has written its 128 pages. */
export interface Clones {
  count: number;
  allAnsweredUs: number;
  ownBytes: number;
  guestBytes: number;
  preparedAllAnsweredUs: number;
  preparedOwnBytes: number;
  preparedGuestBytes: number;
}

/** What `crates/vmm/benches/vmm` prints. */
export interface VmmReport {
  rounds: number;
  floor: Floor[];
  restore: Restore[];
  calls: Calls[];
  snapshot: SnapshotCost[];
  memory: Memory;
  clones: Clones[];
}

/** The report in the output of the benchmark: its last line that is an object. */
export function parseVmmReport(output: string): VmmReport {
  const line = output.split("\n").findLast((each) => each.startsWith("{"));
  if (line === undefined) throw new Error("The benchmark printed no report.");
  return JSON.parse(line) as VmmReport;
}
