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

/** What a working set consists of. */
export interface WorkingSetReport {
  /** Memory that was written, in bytes. */
  writtenBytes: number;
  /** Memory that was only read, in bytes; 0 unless reads were recorded. */
  readBytes: number;
  /** Runs of both. */
  ranges: number;
}

/** Counters since the process started, or since its restore if a pool had prepared it; nothing is estimated. */
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
  /** Bytes of guest memory made private before the start, as the working set says. */
  bytesPopulated: number;
  /** mmap, pread and madvise calls for that. */
  loadCalls: number;
  /** Bytes read from the disks by the guest. */
  diskBytesRead: number;
  /** Anonymous + Swap of the process. */
  privateBytes: number;
  /** Minor page faults of the process. */
  minorFaults: number;
  /** Major page faults of the process. */
  majorFaults: number;
  /** Where the time of the start went. */
  phases: StartPhases;
  /** Bytes written to the scratch disk by the guest. */
  diskBytesWritten: number;
  /** Ethernet frames that the guest got. */
  netFramesReceived: number;
  /** Ethernet frames that the guest sent. */
  netFramesSent: number;
  /** Ethernet frames that were lost between guest and link. */
  netFramesDropped: number;
  /** Random bytes that the guest got from its random number generator. */
  randomBytes: number;
  /** Bytes of the console's output that were lost because nobody read them in time. */
  consoleBytesDropped: number;
  /** Bytes that the guest says are in its balloon now. */
  balloonBytes: number;
  /**
   * Bytes of memory that the guest has given back, by its balloon or by reports of free pages. Those that it has used again in between count
   * again.
   */
  balloonBytesReclaimed: number;
}

/** Where the time of a boot or restore went, in microseconds. */
export interface StartPhases {
  /** Creating the VM, its vCPUs and interrupt controller; 0 if a pool had prepared the process. */
  createVm: number;
  /** Mapping memory layers, and copying of them what was not copied while something else was done. */
  loadMemory: number;
  /** Making the pages of the working set private. */
  populate: number;
  /** Reading and checking the state file. */
  readState: number;
  /** Waiting until the first vCPU's thread is awake, and writing vCPU registers. */
  loadVcpus: number;
  /** Writing the interrupt controller's registers. */
  loadGic: number;
  /** Rebuilding devices and queueing what the stream already holds. */
  loadDevices: number;
  /** From when the guest's time goes on to its first KVM_RUN. */
  startVcpus: number;
  /** From the receipt of the request to the first KVM_RUN of the guest. */
  total: number;
}
