/** What a snapshot consists of, in bytes. */
export interface SnapshotReport {
  /** Memory that was compared with the parent. */
  candidateBytes: number;
  /** Memory that is in the layer. */
  dataBytes: number;
  /** Memory that is zero in this layer and was not in the parent. */
  zeroBytes: number;
  /** Runs of memory in the layer. */
  extents: number;
  /** Length of the layer file. */
  layerFileBytes: number;
  /** Length of the state file. */
  stateFileBytes: number;
  /** How long it took. */
  microseconds: number;
}

/** Counters since the process started; nothing is estimated. */
export interface Statistics {
  /** Returns of KVM_RUN. */
  kvmExits: number;
  /** Of these, for MMIO. */
  mmioExits: number;
  /** Interrupts raised by devices. */
  interrupts: number;
  /** Bytes of memory layers copied into guest memory. */
  bytesCopied: number;
  /** Bytes of memory layers mapped into guest memory. */
  bytesMapped: number;
  /** mmap and pread calls for that. */
  loadCalls: number;
  /** Bytes read from the disks by the guest. */
  diskBytesRead: number;
  /** Private_Clean + Private_Dirty of the process. */
  privateBytes: number;
  /** Minor page faults of the process so far. */
  minorFaults: number;
  /** Major page faults of the process so far. */
  majorFaults: number;
  /** Where the time of the start went. */
  phases: StartPhases;
}

/** Where the time of a boot or restore went, in microseconds. */
export interface StartPhases {
  /** Creating the VM, its vCPUs and interrupt controller. */
  createVm: number;
  /** Mapping and copying memory layers. */
  loadMemory: number;
  /** Reading and checking the state file. */
  readState: number;
  /** Writing vCPU registers. */
  loadVcpus: number;
  /** Writing the interrupt controller's registers. */
  loadGic: number;
  /** Rebuilding devices and queueing what the stream already holds. */
  loadDevices: number;
  /** From the receipt of the request to the first KVM_RUN of the guest. */
  total: number;
}
